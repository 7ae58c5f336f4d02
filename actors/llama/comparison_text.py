"""The text by which models are compared where nobody gives another: English and Vietnamese, of Troupe's own writing.

Ordinary prose, a little speech, numbers, a list and code, so that a model meets what people write to it.
"""

TEXT = """\
The ferry to the island leaves at a quarter past seven, but nobody who lives there trusts the timetable. If the wind \
comes from the north, the captain waits until the fishing boats are in, and the bakery on the quay sells out of \
bread before the first passenger has stepped aboard. On the morning I want to tell you about, the sea lay as flat as \
a table. We left on time, which made everybody suspicious.

"You will see," said the woman beside me, and moved her basket so that I could sit down. "Either the engine stops or \
the fog comes. It has been too easy." She was right about the fog. It rose from the water after twenty minutes, \
first as a thin line along the horizon, then as a wall. The captain rang the bell every thirty seconds, and from \
somewhere to the left another bell answered, a little lower, a little slower, like an old man repeating what a child \
has said.

How does a heat pump work? It moves warmth instead of making it. A fluid that boils at a low temperature takes up \
heat from the air outside, even when that air is cold, and becomes a gas. A compressor squeezes the gas, which makes \
it hot; in the house it gives its heat to the water of the radiators and becomes liquid again. Then a valve lets the \
pressure go, the fluid grows cold, and the circle begins anew. For one kilowatt hour of electricity such a machine \
brings three or four of heat, as long as the radiators are large and the walls are not full of holes.

Before you start, check three things:
1. The disk has at least 12 GB free.
2. Port 8080 is not used by another program.
3. The clock is right; certificates are refused if it is wrong by more than a few minutes.

def shared_words(first: str, second: str) -> list[str]:
    known = set(first.lower().split())
    return sorted(word for word in set(second.lower().split()) if word in known)

Con đường từ nhà bà ngoại ra chợ đi qua một hàng dừa và hai cây cầu gỗ nhỏ. Sáng sớm, khi sương còn nằm trên mặt \
ruộng, những người bán rau đã gánh hàng đi thành một dãy dài, nói chuyện nho nhỏ với nhau về giá gạo, về đứa cháu \
mới sinh, về trận mưa đêm qua. Tôi thường đi sau cùng, vì tôi thích nhìn những chiếc nón lá nhấp nhô phía trước như \
một đàn chim trắng.

Bà tôi bảo rằng muốn nấu một nồi phở ngon thì phải kiên nhẫn. Xương bò được rửa sạch, chần qua nước sôi, rồi ninh \
nhỏ lửa ít nhất sáu tiếng. Gừng và hành nướng cho thơm, hoa hồi và quế chỉ cần một ít, vì nhiều quá nước dùng sẽ \
đắng. "Ai vội thì ăn mì gói," bà nói, và cười. Đến chín giờ, cả nhà ngồi quanh chiếc bàn tròn, không ai nói gì trong \
năm phút đầu tiên.

Cuộc họp ngày 14 tháng 3 bắt đầu lúc 9 giờ 30. Có mười hai người tham dự, trong đó bốn người họp từ xa. Chúng ta đã \
thống nhất ba việc: gửi bản báo giá cho khách hàng trước thứ Sáu, kiểm tra lại số liệu của quý trước, và chọn ngày \
kiểm thử máy chủ mới. Nếu có thay đổi, xin hãy báo cho chị Lan trước mười bảy giờ.

The committee met for the third time in April and could not agree on the bridge. The engineers had drawn two plans: \
one of stone, which would last and which nobody could pay for, and one of steel, which was cheap and which the older \
members called a drainpipe. Mr Harlow proposed to wait for the money. Mrs Adeyemi pointed out that they had waited \
since 1987. In the end they voted, seven to four with one abstention, to ask the people who would have to cross it.

Dear Ms Tran, thank you for your letter of 2 June. We are sorry that the lamp arrived broken. A new one was sent \
today and should reach you within five working days; you need not send the old one back. If it does not come by the \
14th, please call us at the number below and name the order, 40-7731. Kind regards, Peter Novak.

Một buổi chiều, con mèo nhà hàng xóm nhảy lên mái bếp và không chịu xuống. Bọn trẻ đem ra một cái thang, một con cá \
khô và rất nhiều lời khuyên. Con mèo nhìn xuống, ngáp một cái, rồi nằm ngủ. Đến tối, khi không còn ai để ý, nó tự \
leo xuống bằng cây ổi phía sau nhà, nơi ai cũng biết là dễ đi nhất.

Light from the Sun needs a little more than eight minutes to reach us, light from the nearest other star more than \
four years. So whoever looks up at night sees many different times at once: a planet as it was this evening, a star \
as it was when their grandmother was a girl, and, if the sky is dark enough, the faint smudge of a galaxy whose \
light set out before there was anybody to see it.
"""
