"""Small talk with its answers, and subjects that are none of troupe-tiny's business. Data only."""
# ruff: noqa: E501 - a row of phrases is easier to compare than a column
# fmt: off

from forge.forms import Language


def _names(text: str) -> tuple[str, ...]:
    """Names parted by bars, over several lines."""
    return tuple(name.strip() for name in text.replace("\n", " ").split("|"))


SMALL_TALK_ANSWERS: dict[Language, tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]] = {
    "en": (
        ("Hello! I am troupe-tiny. Ask me about Troupe.",
         ("Hello!", "Hi", "Hello, nice to meet you", "Hi, what's up?", "Greetings", "Hello my friend", "Hello", "Hi!", "Hey", "Good morning", "Good evening", "Hello there", "Hi there!", "Hey there", "Good afternoon", "Hello, how are you?", "How are you?"),
         ("Good day!", "Hey, hello!", "Hi, how are you?")),
        ("I am troupe-tiny, a small guide to the Troupe hub.",
         ("Who are you?", "What are you?", "Are you a person?", "Are you a robot?", "Are you real?", "So who are you?", "Say who you are.", "Are you an AI?", "What is your name?", "Tell me who you are.", "Introduce yourself.", "Are you a bot?", "Are you ChatGPT?", "Which model are you?", "Your name?", "Who am I talking to?", "Who made you?"),
         ("Please introduce yourself.", "And who are you?", "Are you a human?")),
        ("I can tell you about Troupe: commands, settings, errors and how to do things.",
         ("What can you do?", "Help", "What are your abilities?", "Can you help?", "Could you help me?", "What can you tell me?", "What may I ask?", "Please help me", "What do you know?", "How can you help me?", "What can I ask you?", "Help me", "What are you good at?", "What can I ask?", "What questions can you answer?"),
         ("What are you able to do?", "Can you help me?", "What may I ask you?")),
        ("You are welcome!",
         ("Thanks", "Thank you", "Ok, thanks", "Okay thanks", "Thanks, that was helpful", "Perfect, thank you", "Thank you, great", "Nice, thank you so much", "Thank you!", "Thanks a lot", "Thank you very much", "Great, thanks", "Many thanks", "That helps, thank you", "Thx", "Cheers, thanks"),
         ("Thanks, that helped", "Okay, thank you", "Thank you so much!")),
        ("Goodbye!",
         ("Goodbye", "Bye", "Okay, bye", "Good bye", "Farewell", "See you tomorrow", "Bye for now", "Bye!", "See you", "See you later", "Good night", "Bye bye", "Goodbye!", "Have a nice day"),
         ("See you soon", "Ok, bye", "Good bye for now")),
    ),
    "vi": (
        ("Xin chào! Tôi là troupe-tiny. Hãy hỏi tôi về Troupe.",
         ("Xin chào!", "Chào bạn", "Chào buổi trưa", "Chào nhé", "Này, chào bạn", "Xin chào mọi người", "Chào, khỏe không?", "Xin chào", "Chào", "Chào buổi sáng", "Chào buổi tối", "Chào bạn!", "Xin chào bạn", "Bạn khỏe không?", "Chào bạn, bạn khỏe không?", "Alo", "Xin chào, bạn thế nào?"),
         ("Chào buổi chiều", "Này, xin chào!", "Chào nhé, bạn khỏe không?")),
        ("Tôi là troupe-tiny, người hướng dẫn nhỏ về hub Troupe.",
         ("Bạn là ai?", "Bạn là gì?", "Bạn có phải là máy không?", "Bạn là người à?", "Bạn là robot à?", "Vậy bạn là ai?", "Giới thiệu bản thân đi.", "Bạn là AI à?", "Bạn tên gì?", "Tên bạn là gì?", "Hãy giới thiệu về bạn.", "Bạn có phải là bot không?", "Bạn là ChatGPT à?", "Bạn là mô hình nào?", "Tôi đang nói chuyện với ai?", "Ai tạo ra bạn?"),
         ("Hãy tự giới thiệu.", "Thế bạn là ai?", "Bạn có phải là người không?")),
        ("Tôi có thể nói về Troupe: lệnh, thiết lập, lỗi và cách làm mọi việc.",
         ("Bạn làm được gì?", "Giúp tôi", "Bạn có thể làm gì?", "Bạn có thể giúp gì?", "Tôi hỏi được những gì?", "Bạn có giúp tôi được không?", "Hãy giúp tôi", "Bạn biết gì?", "Bạn giúp tôi được gì?", "Tôi có thể hỏi gì?", "Trợ giúp", "Bạn giỏi việc gì?", "Tôi hỏi bạn được gì?", "Bạn trả lời được câu hỏi nào?"),
         ("Bạn có thể làm được gì?", "Bạn giúp tôi được không?", "Tôi được hỏi bạn những gì?")),
        ("Không có gì!",
         ("Cảm ơn", "Cảm ơn bạn", "Được, cảm ơn", "Vâng, cảm ơn bạn", "Cảm ơn, tốt lắm", "Tuyệt, cảm ơn", "Xin cám ơn bạn", "Cảm ơn bạn!", "Cảm ơn nhiều", "Cám ơn", "Rất cảm ơn", "Tốt quá, cảm ơn", "Cảm ơn bạn rất nhiều", "Cám ơn bạn nhé"),
         ("Cảm ơn, hữu ích lắm", "Được rồi, cảm ơn bạn", "Xin cảm ơn!")),
        ("Tạm biệt!",
         ("Tạm biệt", "Tạm biệt!", "Thôi, chào bạn", "Hẹn gặp lại ngày mai", "Tạm biệt mọi người", "Chào nhé, hẹn gặp lại", "Hẹn gặp lại", "Chúc ngủ ngon", "Tạm biệt bạn", "Bai", "Chào tạm biệt", "Hẹn gặp lại bạn"),
         ("Hẹn gặp lại sau", "Thôi, tạm biệt", "Tạm biệt nhé")),
    ),
}

FORMS: dict[Language, tuple[str, ...]] = {
    "en": ("What is {x}?", "Tell me about {x}.", "Who invented {x}?", "What do you think about {x}?", "Explain {x}.", "What is the best {x}?",
           "Write a poem about {x}.", "How does {x} work?", "Where can I buy {x}?", "What is the price of {x}?", "Why is {x} so popular?",
           "Give me a summary of {x}.", "When was {x} discovered?", "Do you like {x}?", "How do I learn {x}?", "Translate {x} into French.",
           "Write an essay about {x}.", "Tell me a joke about {x}.", "What does {x} mean?", "How do I make {x}?", "What is the history of {x}?",
           "Is {x} good for me?", "{x}?", "Which port does {x} use?", "How do I install {x}?", "How can I use {x}?", "I want to buy {x}.",
           "Define {x}.", "What is the purpose of {x}?", "How many kinds of {x} are there?", "How do I fix {x}?", "Describe {x}.",
           "I like {x}.", "Is {x} dangerous?", "Give me advice about {x}.", "What do people say about {x}?", "Who likes {x}?", "Where is {x}?", "When is {x}?",
           "Should I try {x}?", "How much does {x} cost?", "What are the parts of {x}?", "Draw {x}.", "Sing about {x}.", "Find {x} near me.", "Show me pictures of {x}.",
           "How old is {x}?", "What colour is {x}?", "Let us talk about {x}.", "Can I eat {x}?", "Teach me {x}.", "Which book about {x} is good?", "How far is {x}?",
           "What's {x}?", "My friend has {x}.", "What happened to {x}?", "Are there good films about {x}?", "Why do we need {x}?", "Spell {x}.",
           "Can you explain {x}?", "How do I start {x}?", "What about {x}?", "I need {x}.", "Show me {x}.", "Which {x} is the best?", "What does {x} do?"),
    "vi": ("{x} là gì?", "Cho tôi biết về {x}.", "Ai phát minh ra {x}?", "Bạn nghĩ gì về {x}?", "Giải thích {x}.", "{x} nào tốt nhất?",
           "Viết một bài thơ về {x}.", "{x} hoạt động thế nào?", "Mua {x} ở đâu?", "Giá của {x} là bao nhiêu?", "Tại sao {x} phổ biến?",
           "Tóm tắt về {x}.", "{x} được tìm ra khi nào?", "Bạn có thích {x} không?", "Làm sao để học {x}?", "Dịch {x} sang tiếng Pháp.",
           "Viết bài văn về {x}.", "Kể chuyện cười về {x}.", "{x} nghĩa là gì?", "Cách làm {x}?", "Lịch sử của {x} là gì?", "{x} có tốt không?",
           "{x}?", "{x} dùng cổng nào?", "Cài đặt {x} thế nào?", "Làm thế nào để dùng {x}?", "Tôi muốn mua {x}.", "Định nghĩa {x}.",
           "{x} dùng để làm gì?", "Có bao nhiêu loại {x}?", "Sửa {x} thế nào?", "Mô tả {x}.", "Bạn giải thích {x} được không?", "Tôi cần {x}.",
           "Làm sao để khởi động {x}?", "Thế nào là {x}?", "Tôi thích {x}.", "{x} có nguy hiểm không?", "Cho tôi lời khuyên về {x}.", "Mọi người nói gì về {x}?", "Ai thích {x}?", "{x} ở đâu?", "Khi nào có {x}?",
           "Tôi có nên thử {x} không?", "{x} giá bao nhiêu?", "{x} gồm những phần nào?", "Vẽ {x}.", "Hát về {x}.", "Tìm {x} gần tôi.", "Cho tôi xem ảnh {x}.",
           "{x} bao nhiêu tuổi?", "{x} màu gì?", "Hãy nói về {x}.", "{x} ăn được không?", "Dạy tôi về {x}.", "Sách nào về {x} hay?", "{x} cách đây bao xa?",
           "Bạn tôi có {x}.", "Chuyện gì xảy ra với {x}?", "Có phim nào hay về {x}?", "Tại sao cần {x}?", "Ở đâu có {x}?",
           "Tôi không hiểu {x}.", "{x} làm gì?"),
}

NEW_FORMS: dict[Language, tuple[str, ...]] = {
    "en": ("What can you tell me about {x}?", "Is {x} expensive?", "Recommend {x} for beginners.", "Compare {x} with something else.",
           "What are the benefits of {x}?", "Who is famous for {x}?"),
    "vi": ("Bạn có thể nói gì về {x}?", "{x} có đắt không?", "Gợi ý {x} cho người mới.", "So sánh {x} với thứ khác.", "Lợi ích của {x} là gì?",
           "Ai nổi tiếng về {x}?"),
}

SUBJECTS: dict[Language, tuple[str, ...]] = {
    "en": _names("""football|the moon|photosynthesis|coffee|gravity|Python lists|Kubernetes|Redis|a bicycle|the Roman Empire|jazz|chocolate cake|
        the stock market|the French Revolution|a guitar|Mount Everest|dinosaurs|basketball|the weather|climate change|a good restaurant|tea|bread|
        quantum physics|algebra|the Pacific Ocean|tennis|Shakespeare|a cat|dogs|electric cars|solar power|vaccines|the human heart|a passport|yoga|
        tax law|marriage|poetry|opera|Mozart|the guillotine|pizza|sushi|fried rice|a smartphone|Windows 11|Excel|PostgreSQL|MySQL|Apache|nginx|Kafka|
        RabbitMQ|TensorFlow|JavaScript|Rust|a compiler|blockchain|Bitcoin|Minecraft|chess|Santa Claus|vampires|a divorce|insurance|the president|
        elections|democracy|the universe|black holes|Mars|rockets|airplanes|trains|a visa|Paris|Tokyo|Hanoi|London|Brazil|Africa|penguins|elephants|
        volcanoes|earthquakes|rain|snow|diabetes|headaches|vitamin C|running|swimming|a marathon|meditation|philosophy|Buddhism|love|happiness|money|
        a mortgage|a job interview|my homework|a birthday party|a wedding dress|shoes|perfume|television|Netflix|Harry Potter|a novel|painting|Picasso|
        a camera|photography|gardening|roses|tomatoes|potatoes|beer|wine|cheese|milk|honey|salt|a dentist|a lawyer|the police|the army|World War II|
        Napoleon|Einstein|Newton|DNA|atoms|iron|gold|diamonds|plastic|paper|glass|a lottery|a hotel|a ticket|a recipe|a movie|a song|music|dance"""),
    "vi": _names("""bóng đá|mặt trăng|quang hợp|cà phê|trọng lực|danh sách Python|Kubernetes|Redis|xe đạp|đế chế La Mã|nhạc jazz|bánh sô cô la|
        chứng khoán|cách mạng Pháp|đàn guitar|núi Everest|khủng long|bóng rổ|thời tiết|biến đổi khí hậu|nhà hàng ngon|trà|bánh mì|phở|bún chả|
        vật lý lượng tử|đại số|Thái Bình Dương|quần vợt|Nguyễn Du|con mèo|chó|xe điện|điện mặt trời|vắc xin|tim người|hộ chiếu|yoga|luật thuế|hôn nhân|
        thơ ca|cải lương|Mozart|áo dài|pizza|nem rán|cơm rang|điện thoại|Windows 11|Excel|PostgreSQL|MySQL|Apache|nginx|Kafka|JavaScript|Rust|
        trình biên dịch|Bitcoin|cờ vua|ông già Noel|ma cà rồng|ly hôn|bảo hiểm|tổng thống|bầu cử|dân chủ|vũ trụ|hố đen|sao Hỏa|tên lửa|máy bay|tàu hỏa|
        thị thực|Paris|Tokyo|Hà Nội|Sài Gòn|Đà Nẵng|Huế|châu Phi|chim cánh cụt|voi|núi lửa|động đất|mưa|tuyết|tiểu đường|đau đầu|vitamin C|chạy bộ|
        bơi lội|thiền|triết học|Phật giáo|tình yêu|hạnh phúc|tiền|vay mua nhà|phỏng vấn xin việc|bài tập về nhà|tiệc sinh nhật|váy cưới|giày|nước hoa|
        truyền hình|tiểu thuyết|hội họa|máy ảnh|làm vườn|hoa hồng|cà chua|khoai tây|bia|rượu vang|phô mai|sữa|mật ong|muối|nha sĩ|luật sư|cảnh sát|
        quân đội|chiến tranh|Einstein|Newton|nguyên tử|sắt|vàng|kim cương|nhựa|giấy|xổ số|khách sạn|vé máy bay|công thức nấu ăn|phim|bài hát|âm nhạc|
        múa|Tết|bánh chưng|trà sữa|sầu riêng|xoài|Trần Hưng Đạo|Hồ Gươm|sông Mê Kông|vịnh Hạ Long"""),
}

NEW_SUBJECTS: dict[Language, tuple[str, ...]] = {
    "en": ("baseball", "the sun", "photography lenses", "ice cream", "magnetism", "MongoDB", "a motorcycle", "ancient Egypt", "rock music", "apple pie",
           "Docker Swarm", "a violin", "the Sahara", "sharks", "volleyball", "Berlin", "Canada", "hockey", "the liver", "astrology", "karate", "Beethoven"),
    "vi": ("bóng chày", "mặt trời", "kem", "từ trường", "MongoDB", "xe máy", "Ai Cập cổ đại", "nhạc rock", "bánh táo", "đàn vĩ cầm", "sa mạc", "cá mập",
           "bóng chuyền", "Cần Thơ", "Canada", "gan", "chiêm tinh", "võ karate", "Nguyễn Trãi", "bún bò", "cá voi", "lụa"),
}

SENTENCES: dict[Language, tuple[str, ...]] = {
    "en": ("Who won the world cup?", "What time is it?", "How old are you?", "What is 2 + 2?", "What is 17 times 23?", "Tell me a joke.", "Sing a song.",
           "Write a poem.", "Who is the president of the United States?", "What is the capital of France?", "What is the weather today?",
           "Translate good morning into German.", "Will it rain tomorrow?", "Book me a flight.", "How far is the moon?", "Write a Python function that sorts a list.",
           "What day is today?", "Are you happy?", "Do you love me?", "What is the meaning of life?", "Where do you live?", "Send an email to my boss.",
           "How do I cook rice?", "Tell me a story.", "Who wrote Hamlet?", "What should I eat tonight?", "Play some music.", "Set an alarm for seven.",
           "Give me a recipe.", "How do I lose weight?", "What is the largest country?", "Who are the Beatles?", "Count to ten.", "Fix my code.", "How tall is Everest?",
           "Summarise this article for me.", "What is my name?", "Can you drive a car?", "Which phone should I buy?", "How many people live in China?",
           "where should I copy my holiday photos?", "how do I get rid of a headache?", "how often may a dog eat?", "is there a bus to the airport?", "my car broke down, what now?", "how long do I have to boil an egg?",
           "which jacket goes with blue trousers?", "what's the fastest animal?", "can I park here?", "how do I stop my baby from crying?", "where is the nearest bakery?", "what do I put into a salad?", "how big is a whale?",
           "how do I change a tyre?", "how do I make money?", "which train goes to Lyon?", "why is the sky blue?", "what does my dream mean?", "how do I connect my printer?", "how much does a flat cost?", "do I need a visa?",
           "can you recommend a film?", "what was the score yesterday?", "who is the best footballer?", "how do I start a business?", "how do I open a bank account?", "how do I protect my skin?", "what is on TV tonight?", "when does the shop close?",
           "I lost my wallet, what can I do?", "how do I train my dog?", "how do I run faster?", "is it healthy to eat meat?", "my phone is slow, what should I do?", "which port is the largest in Europe?", "how do I list my house for sale?",
           "can you read my mail?", "how many calories does an apple have?", "what is the key of this song?", "how do I send a parcel?", "what are the best actors?", "how do I fix a leaking tap?", "write me a letter", "translate this", "who are the actors in that film?"),
    "vi": ("Ai vô địch world cup?", "Mấy giờ rồi?", "Bạn bao nhiêu tuổi?", "2 + 2 bằng mấy?", "17 nhân 23 bằng bao nhiêu?", "Kể chuyện cười đi.", "Hát một bài.",
           "Viết một bài thơ.", "Ai là tổng thống Mỹ?", "Thủ đô của Pháp là gì?", "Thời tiết hôm nay thế nào?", "Dịch chào buổi sáng sang tiếng Đức.",
           "Ngày mai có mưa không?", "Đặt vé máy bay cho tôi.", "Mặt trăng cách bao xa?", "Viết hàm Python sắp xếp danh sách.", "Hôm nay là thứ mấy?",
           "Bạn có vui không?", "Bạn có yêu tôi không?", "Ý nghĩa cuộc sống là gì?", "Bạn sống ở đâu?", "Gửi email cho sếp của tôi.", "Nấu cơm thế nào?",
           "Kể cho tôi một câu chuyện.", "Ai viết Truyện Kiều?", "Tối nay ăn gì?", "Bật nhạc lên.", "Đặt báo thức bảy giờ.", "Cho tôi một công thức nấu ăn.",
           "Làm sao để giảm cân?", "Nước nào lớn nhất?", "Đếm đến mười.", "Sửa mã của tôi.", "Núi Everest cao bao nhiêu?", "Tóm tắt bài báo này.",
           "Tên tôi là gì?", "Bạn lái xe được không?", "Nên mua điện thoại nào?", "Trung Quốc có bao nhiêu người?", "Hà Nội có gì đẹp?",
           "chép ảnh du lịch của tôi vào đâu?", "làm sao hết đau đầu?", "chó ăn mấy bữa một ngày?", "có xe buýt ra sân bay không?", "xe tôi hỏng rồi, làm sao?", "luộc trứng bao lâu?", "áo nào hợp với quần xanh?", "con gì chạy nhanh nhất?",
           "đỗ xe ở đây được không?", "làm sao cho em bé nín khóc?", "tiệm bánh gần nhất ở đâu?", "cho gì vào món gỏi?", "cá voi to bao nhiêu?", "thay lốp xe thế nào?", "làm sao kiếm tiền?", "tàu nào đi Vinh?", "sao trời lại xanh?", "giấc mơ của tôi nghĩa là gì?",
           "kết nối máy in thế nào?", "căn hộ giá bao nhiêu?", "tôi có cần thị thực không?", "giới thiệu cho tôi một bộ phim", "hôm qua tỉ số bao nhiêu?", "cầu thủ nào hay nhất?", "mở công ty thế nào?", "mở tài khoản ngân hàng thế nào?", "bảo vệ da thế nào?",
           "tối nay tivi có gì?", "mấy giờ cửa hàng đóng cửa?", "tôi mất ví rồi, làm gì bây giờ?", "dạy chó thế nào?", "chạy nhanh hơn thế nào?", "ăn thịt có tốt không?", "điện thoại tôi chậm quá, nên làm gì?", "cảng nào lớn nhất châu Âu?", "đọc thư giúp tôi",
           "quả táo có bao nhiêu calo?", "bài này giọng gì?", "gửi bưu kiện thế nào?", "diễn viên nào giỏi nhất?", "sửa vòi nước rò rỉ thế nào?", "viết cho tôi một lá thư", "dịch cái này", "phim đó ai đóng?", "khóa cửa thế nào?"),
}

NEW_SENTENCES: dict[Language, tuple[str, ...]] = {
    "en": ("Who painted the Mona Lisa?", "What is 12 divided by 4?", "What is the capital of Japan?", "Tell me something funny.", "How do I bake bread?",
           "Who is the king of England?", "Is it going to snow?", "Write a Java class.", "How long is the Nile?", "What is your favourite colour?",
           "Order a taxi for me.", "What did I eat yesterday?", "Which language is the hardest?", "How do birds fly?", "Who discovered America?"),
    "vi": ("Ai vẽ Mona Lisa?", "12 chia 4 bằng mấy?", "Thủ đô của Nhật Bản là gì?", "Kể điều gì vui đi.", "Làm bánh mì thế nào?", "Ai là vua nước Anh?",
           "Sắp có bão không?", "Viết một lớp Java.", "Sông Hồng dài bao nhiêu?", "Bạn thích màu gì?", "Gọi taxi cho tôi.", "Hôm qua tôi ăn gì?",
           "Ngôn ngữ nào khó nhất?", "Chim bay thế nào?", "Ai tìm ra châu Mỹ?"),
}
