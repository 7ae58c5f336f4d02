"""Words that made-up tools, their questions and their values are put together from. Data only."""
# ruff: noqa: E501, SIM905 - rows of words are easier to read than columns
# fmt: off


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """English and Vietnamese parted by a colon, pairs by bars."""
    return tuple((english.strip(), vietnamese.strip()) for english, vietnamese in (pair.split(":") for pair in text.replace("\n", " ").split("|")))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.replace("\n", " ").split("|"))


ATTRIBUTES = _pairs("""price:giá|color:màu|owner:chủ|size:kích thước|population:dân số|capital:thủ đô|length:độ dài|height:chiều cao|author:tác giả|rating:đánh giá|
    salary:lương|phone:số điện thoại|email:email|address:địa chỉ|age:tuổi|weight:cân nặng|currency:tiền tệ|balance:số dư|level:cấp|score:điểm|rank:hạng|title:tên|
    status:trạng thái|type:loại|version:phiên bản|date:ngày|speed:tốc độ|depth:độ sâu|area:diện tích|mayor:thị trưởng|leader:lãnh đạo|founder:người sáng lập|
    release:bản phát hành|genre:thể loại|battery:pin|volume:âm lượng|budget:ngân sách|fee:phí|target:mục tiêu|category:danh mục|schedule:lịch trình|
    stock:hàng tồn|manager:quản lý|deadline:hạn chót|humidity:độ ẩm|pressure:áp suất|traffic:giao thông|sunrise:giờ mặt trời mọc|holiday:ngày nghỉ|
    menu:thực đơn|recipe:công thức|lyrics:lời bài hát|synonym:từ đồng nghĩa|summary:tóm tắt|review:nhận xét|history:lịch sử|invoice:hóa đơn|contract:hợp đồng|
    warranty:bảo hành|location:vị trí|profile:hồ sơ|grade:điểm số|profit:lợi nhuận|tax:thuế|income:thu nhập|member:thành viên|flight:chuyến bay|
    air_quality:chất lượng không khí|exchange_rate:tỷ giá|zip_code:mã bưu điện|postal_code:mã bưu chính|opening_hours:giờ mở cửa|bus_line:tuyến xe buýt|
    parking:bãi đỗ xe|tide:thủy triều|moon_phase:pha mặt trăng|delivery_date:ngày giao|tracking_code:mã vận đơn|serial_number:số seri|license:giấy phép""")
"""What a tool may look up about something, in both languages."""

NEW_ATTRIBUTES = ("altitude", "mileage", "director", "birthday", "temperature", "discount", "distance", "supplier")
"""Only used for evaluation."""

VERBS = _pairs("""create:tạo|delete:xóa|update:cập nhật|cancel:hủy|open:mở|close:đóng|book:đặt|start:bắt đầu|stop:dừng|send:gửi|check:kiểm tra|list:liệt kê|
    print:in|download:tải|upload:tải lên|copy:sao chép|move:chuyển|rename:đổi tên|archive:lưu trữ|approve:duyệt|reject:từ chối|assign:giao|share:chia sẻ|
    lock:khóa|unlock:mở khóa|buy:mua|sell:bán|pay:trả|rent:thuê|scan:quét|verify:xác minh|schedule:lên lịch|restart:khởi động lại|deploy:triển khai|
    show:xem|count:đếm|sort:sắp xếp|compress:nén|encode:mã hóa|reserve:giữ chỗ|subscribe:đăng ký|follow:theo dõi|mute:tắt tiếng|record:ghi""")
OBJECTS = _pairs("""ticket:vé|room:phòng|table:bàn|meeting:cuộc họp|report:báo cáo|project:dự án|device:thiết bị|account:tài khoản|document:tài liệu|photo:ảnh|
    video:video|playlist:danh sách phát|channel:kênh|group:nhóm|customer:khách hàng|product:sản phẩm|package:gói hàng|server:máy chủ|backup:bản sao lưu|
    branch:nhánh|issue:vấn đề|camera:máy ảnh|printer:máy in|car:xe|door:cửa|window:cửa sổ|event:sự kiện|reminder:lời nhắc|appointment:cuộc hẹn|note:ghi chú|
    folder:thư mục|image:hình|website:trang web|database:cơ sở dữ liệu|job:công việc|shipment:lô hàng|coupon:phiếu giảm giá|course:khóa học|book:sách""")

PARAMETERS = _names("""name|item|id|key|object|subject|value|query|target|input|text|label|title|code|number|what|which|term|entity|identifier|reference|ref|
    param|arg|data|topic|field|product|user|user_id|item_id|object_name|itemName|userId|thing|word|keyword|slug|handle|ticker|place|location|city|for_whom""")
EXTRAS = (("unit", "string"), ("units", "string"), ("days", "integer"), ("lang", "string"), ("format", "string"), ("limit", "integer"), ("country", "string"), ("verbose", "boolean"),
          ("max_results", "integer"), ("page", "integer"), ("region", "string"), ("sort_by", "string"), ("precision", "integer"), ("detailed", "boolean"))
"""Parameters that a tool may have and a question need not fill."""

PLACES = _names("""Hanoi|Paris|London|Tokyo|Berlin|Hue|Rome|Madrid|New York|Da Nang|Bangkok|Seoul|Sydney|Hà Nội|Đà Nẵng|Sài Gòn|Cần Thơ|Hải Phòng|Vienna|Oslo|Boston|
    Chicago|Moscow|Delhi|Cairo|Lima|Dublin|Prague|Nha Trang|Huế|Vũng Tàu|Kyoto|Osaka|Zurich|Geneva|Munich|Lisbon|Athens|San Francisco|Toronto|Ho Chi Minh City|
    Saigon|Hai Phong|Can Tho|Vung Tau|Thành phố Hồ Chí Minh|Hạ Long|Hội An|Phú Quốc|Sa Pa|Biên Hòa|Buôn Ma Thuột|Pleiku|Quảng Ninh|Nam Định|Thanh Hóa|Cà Mau|
    Los Angeles|Seattle|Miami|Dallas|Houston|Denver|Vancouver|Mexico City|Barcelona|Seville|Milan|Naples|Venice|Florence|Hamburg|Frankfurt|Cologne|Brussels|
    Amsterdam|Copenhagen|Stockholm|Edinburgh|Manchester|Liverpool|Glasgow|Kyiv|Bucharest|Sofia|Belgrade|Zagreb|Ankara|Tehran|Baghdad|Dubai|Doha|Riyadh|
    Mumbai|Kolkata|Karachi|Dhaka|Colombo|Jakarta|Bali|Manila|Kuala Lumpur|Phnom Penh|Vientiane|Beijing|Shanghai|Shenzhen|Hong Kong|Taipei|Busan|Melbourne|
    Perth|Auckland|Honolulu|Havana|Bogota|Santiago|Rio de Janeiro|Lagos|Accra|Cape Town|Casablanca|Tunis|France|Germany|Japan|Vietnam|Việt Nam|Italy|Spain""")
NEW_PLACES = ("Helsinki", "Warsaw", "Buenos Aires", "Quy Nhơn", "Nairobi", "Singapore", "Montreal", "Đà Lạt", "Istanbul", "Reykjavik", "Vinh", "Budapest")
WORDS = _names("""cheap flights|cute cats|red shoes|open source licences|rain|yellow submarine|electric bikes|hotels near me|bánh mì ngon|phim hay|nhà trọ giá rẻ|
    history of jazz|used cars|summer songs|lịch thi đấu|good morning|thank you|xin chào|my old friend|football|how are you|happy birthday|machine learning|
    the news|climate change|Hello world|cà phê sữa đá|bún bò Huế|xe đạp cũ|tôi yêu bạn|chúc mừng năm mới|du lịch biển|món ăn ngon|nhạc nhẹ|Bohemian Rhapsody|
    Yesterday|Imagine|Let It Be|Despacito|artificial intelligence|stock market|world cup|best pizza|running shoes|python tutorial|python asyncio|javascript|Rust|Linux""")
NEW_WORDS = ("garden chairs", "winter boots", "quán ăn chay", "solar panels", "the blue river", "space travel")
COMMON_WORDS = tuple("""the a of and in to for with on my your new old best big small red blue green black white cheap good free near about how what where when time day night
    house car city water food music film book game phone school work world people family children summer winter river mountain sea sun star tree flower dog cat bird fish bread
    coffee tea wine apple rice chicken milk table chair door window road train plane boat ticket price market money bank office doctor hospital health sport team player goal
    history science nature art picture photo story letter word language teacher student lesson question answer model token message stream call answer port file data system
    machine memory network server client command error test page light dark fast slow long short high low first last happy sad hot cold clean open closed early late home
    của và là có không cho một những các người được trong với tôi bạn nhà xe nước ăn uống chơi học làm việc đường phố biển núi sông trời mưa nắng gió hoa cây con chó mèo gà cá
    bánh cơm phở bún chè trà sữa sách báo phim nhạc hát múa đẹp xấu to nhỏ cao thấp dài ngắn mới cũ rẻ đắt nhanh chậm xanh đỏ vàng trắng đen sáng tối ngày đêm tháng năm tuần giờ""".split())
FIRST_NAMES = tuple("Anna Ben Clara David Emma Frank Grace Henry Ida Jack Kate Liam Mary Nora Oscar Paul Rosa Sam Tina Victor Alice Bob Carol Dave John Jane Peter Lucy Max Mia Tom Sara".split())
LAST_NAMES = tuple("Smith Miller Brown Taylor Wilson Davis Clark Lewis Walker Young King Wright Hill Green Baker Adams Nelson Carter Turner Parker Weber Rossi Tanaka Kim".split())
VIETNAMESE_FIRST_NAMES = tuple("An Bình Châu Dũng Giang Hà Hải Hạnh Hùng Hương Khánh Lan Linh Long Mai Minh Nam Nga Ngọc Phong Phúc Quân Quỳnh Sơn Tâm Thảo Thu Trang Tuấn Vân Việt Yến".split())
VIETNAMESE_LAST_NAMES = tuple("Nguyễn Trần Lê Phạm Hoàng Phan Vũ Võ Đặng Bùi Đỗ Hồ Ngô Dương Lý".split())
NEW_PEOPLE = ("Olga", "Marcus Webb", "Isabel", "Quang Huy", "Đinh Thị Nhàn", "Yusuf", "Priya Shah", "Kiên")
ROOMS = ("kitchen", "bedroom", "hall", "bathroom", "office", "garage", "living room", "garden", "cellar", "balcony", "phòng khách", "nhà bếp", "phòng ngủ", "phòng tắm", "ban công", "sân")
TONGUES = ("French", "German", "Japanese", "Spanish", "English", "Vietnamese", "Italian", "Chinese", "Korean", "Russian", "tiếng Anh", "tiếng Pháp", "tiếng Nhật", "tiếng Việt", "tiếng Đức", "tiếng Hàn")
SIGNS = ("+", "-", "*", "/", "x", "^")
RESULT_KEYS = _names("""result|value|answer|status|temperature|info|city|condition|price|name|time|total|unit|count|humidity|wind|weather|location|date|sky|amount|
    currency|distance|state|message|id|rating|title|owner|score|note|description|phone|address|nhiệt độ|kết quả|giá""")
