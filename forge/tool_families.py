"""Purposes of made-up tools, with questions that they answer and values to ask about. Data only."""
# ruff: noqa: E501 - a row of phrases is easier to compare than a column
# fmt: off

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """Tools of one purpose: several names, and questions with a slot per argument."""

    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    arguments: tuple[tuple[tuple[str, ...], str, str], ...]
    """Per slot: possible argument names, the kind of value, the JSON type."""
    english: tuple[str, ...]
    vietnamese: tuple[str, ...]


FAMILIES: tuple[Family, ...] = (
    Family(("get_weather", "weather", "current_weather", "weather_lookup", "forecast"), ("Get the weather of a city", "Weather by place", "Current weather", "Thời tiết của một thành phố"),
           ((("city", "location", "place", "town"), "place", "string"),),
           ("What is the weather in {0}?", "How is the weather in {0}?", "Weather in {0}?", "Tell me the weather in {0}.", "Is it raining in {0}?", "What's the weather like in {0} today?"),
           ("Thời tiết ở {0} thế nào?", "Thời tiết {0}?", "Cho tôi biết thời tiết ở {0}.", "Ở {0} có mưa không?", "Hôm nay thời tiết ở {0} ra sao?")),
    Family(("get_time", "current_time", "local_time", "clock"), ("Get the time in a city", "Local time of a place", "Giờ địa phương"),
           ((("city", "timezone", "place", "location"), "place", "string"),),
           ("What time is it in {0}?", "Time in {0}?", "Tell me the time in {0}.", "How late is it in {0}?"),
           ("Mấy giờ rồi ở {0}?", "Bây giờ ở {0} là mấy giờ?", "Cho tôi biết giờ ở {0}.")),
    Family(("calculator", "calculate", "compute", "eval_math", "math"), ("Calculate an expression", "Do arithmetic", "Tính một biểu thức"),
           ((("expression", "formula", "input"), "sum", "string"),),
           ("What is {0}?", "Calculate {0}.", "Compute {0}.", "How much is {0}?", "Please calculate {0}."),
           ("{0} bằng bao nhiêu?", "Tính {0}.", "Hãy tính {0}.", "{0} là mấy?")),
    Family(("add", "add_numbers", "sum"), ("Add two numbers", "Cộng hai số"),
           ((("a", "x", "first"), "number", "number"), (("b", "y", "second"), "number", "number")),
           ("Add {0} and {1}.", "What is {0} plus {1}?", "Sum of {0} and {1}?"), ("Cộng {0} và {1}.", "{0} cộng {1} bằng mấy?")),
    Family(("multiply", "times", "product"), ("Multiply two numbers", "Nhân hai số"),
           ((("a", "x", "left"), "number", "number"), (("b", "y", "right"), "number", "number")),
           ("Multiply {0} by {1}.", "What is {0} times {1}?"), ("Nhân {0} với {1}.", "{0} nhân {1} bằng mấy?")),
    Family(("search", "web_search", "search_web", "lookup", "find"), ("Search the web", "Find pages about something", "Tìm kiếm trên mạng"),
           ((("query", "q", "text", "keywords"), "words", "string"),),
           ("Search for {0}.", "Look up {0}.", "Find {0}.", "Search the web for {0}.", "Please search {0}."),
           ("Tìm {0}.", "Hãy tìm kiếm {0}.", "Tra cứu {0}.", "Tìm trên mạng {0}.")),
    Family(("get_stock_price", "stock_price", "quote"), ("Get the price of a stock", "Giá cổ phiếu"),
           ((("symbol", "ticker", "stock"), "name", "string"),),
           ("What is the stock price of {0}?", "How much is {0} stock?", "Stock price of {0}?"), ("Giá cổ phiếu {0} là bao nhiêu?", "Giá cổ phiếu của {0}?")),
    Family(("play_music", "play_song", "play"), ("Play a song", "Phát nhạc"),
           ((("title", "song", "name"), "words", "string"),),
           ("Play {0}.", "Play the song {0}.", "I want to hear {0}."), ("Phát bài {0}.", "Mở bài {0}.", "Tôi muốn nghe {0}.")),
    Family(("set_alarm", "alarm", "wake_me"), ("Set an alarm", "Đặt báo thức"),
           ((("time", "at", "when"), "clock", "string"),),
           ("Set an alarm for {0}.", "Wake me at {0}.", "Alarm at {0}."), ("Đặt báo thức lúc {0}.", "Gọi tôi dậy lúc {0}.")),
    Family(("set_timer", "timer", "start_timer"), ("Start a timer", "Hẹn giờ"),
           ((("minutes", "duration", "length"), "number", "integer"),),
           ("Set a timer for {0} minutes.", "Start a timer of {0} minutes."), ("Hẹn giờ {0} phút.", "Đặt hẹn giờ {0} phút.")),
    Family(("define_word", "dictionary", "define"), ("Look a word up in the dictionary", "Tra từ điển"),
           ((("word", "term", "text"), "name", "string"),),
           ("Look up the word {0} in the dictionary.", "Define the word {0}.", "Dictionary entry of {0}?"), ("Tra từ {0} trong từ điển.", "Định nghĩa từ {0}.")),
    Family(("get_directions", "directions", "route"), ("Find the way between two places", "Chỉ đường"),
           ((("origin", "start", "from_place"), "place", "string"), (("destination", "end", "to_place"), "place", "string")),
           ("How do I get from {0} to {1}?", "Directions from {0} to {1}.", "Route from {0} to {1}?"), ("Đi từ {0} đến {1} thế nào?", "Chỉ đường từ {0} đến {1}.")),
    Family(("order_status", "get_order", "track_order"), ("Status of an order", "Tình trạng đơn hàng"),
           ((("order_id", "id", "number"), "code", "string"),),
           ("Where is my order {0}?", "What is the status of order {0}?", "Track order {0}."), ("Đơn hàng {0} ở đâu?", "Tình trạng đơn hàng {0}?")),
    Family(("get_user", "find_user", "user_info"), ("Look up a user", "Tra cứu người dùng"),
           ((("name", "user", "username"), "name", "string"),),
           ("Find the user {0}.", "Who is the user {0}?", "Show user {0}."), ("Tìm người dùng {0}.", "Người dùng {0} là ai?")),
    Family(("turn_on_light", "light_on", "lights"), ("Turn on the light of a room", "Bật đèn"),
           ((("room", "place", "where"), "room", "string"),),
           ("Turn on the light in the {0}.", "Light on in the {0}."), ("Bật đèn ở {0}.", "Mở đèn {0}.")),
    Family(("translate", "translate_text"), ("Translate a text", "Dịch văn bản"),
           ((("text", "input", "sentence"), "words", "string"), (("language", "target", "to"), "language", "string")),
           ("Translate {0} into {1}.", "How do you say {0} in {1}?"), ("Dịch {0} sang {1}.", "{0} trong {1} nói thế nào?")),
    Family(("get_news", "news", "headlines"), ("Latest news about a topic", "Tin tức"),
           ((("topic", "about", "subject"), "words", "string"),),
           ("What is the news about {0}?", "News about {0}?", "Latest headlines on {0}."), ("Tin tức về {0}?", "Có tin gì về {0}?")),
    Family(("open_file", "read_file", "show_file"), ("Read a file", "Đọc tệp"),
           ((("path", "file", "filename"), "path", "string"),),
           ("Open the file {0}.", "Read {0}.", "Show me the file {0}."), ("Mở tệp {0}.", "Đọc tệp {0}.")),
)

ATTRIBUTES = (
    "price", "color", "owner", "size", "population", "capital", "length", "height", "author", "rating", "salary", "phone", "email", "address", "age", "weight", "currency", "balance", "level", "score", "rank", "title", "status", "type", "version", "date", "speed", "depth", "area", "mayor", "leader", "founder", "release", "genre", "battery", "volume", "budget", "fee", "target", "category",
)
NEW_ATTRIBUTES = ("altitude", "mileage", "director", "birthday", "temperature", "discount", "distance", "supplier")

PLACES = (
    "Hanoi", "Paris", "London", "Tokyo", "Berlin", "Hue", "Rome", "Madrid", "New York", "Da Nang", "Bangkok", "Seoul", "Sydney", "Hà Nội", "Đà Nẵng", "Sài Gòn", "Cần Thơ", "Hải Phòng", "Vienna", "Oslo", "Boston", "Chicago", "Moscow", "Delhi", "Cairo", "Lima", "Dublin", "Prague", "Nha Trang", "Huế", "Vũng Tàu", "Kyoto", "Osaka", "Zurich", "Geneva", "Munich", "Lisbon", "Athens", "San Francisco", "Toronto",
)
NEW_PLACES = ("Helsinki", "Warsaw", "Buenos Aires", "Quy Nhơn", "Nairobi", "Singapore", "Montreal", "Đà Lạt", "Istanbul", "Reykjavik", "Vinh", "Budapest")
WORDS = ("cheap flights", "cute cats", "red shoes", "open source licences", "rain", "yellow submarine", "electric bikes", "hotels near me", "bánh mì ngon", "phim hay",
         "nhà trọ giá rẻ", "history of jazz", "used cars", "summer songs", "lịch thi đấu", "good morning", "thank you", "xin chào", "my old friend", "football")
NEW_WORDS = ("garden chairs", "winter boots", "quán ăn chay", "solar panels", "the blue river", "space travel")
ROOMS = ("kitchen", "bedroom", "hall", "bathroom", "office", "garage", "phòng khách", "nhà bếp", "phòng ngủ")
TONGUES = ("French", "German", "Japanese", "Spanish", "English", "Vietnamese", "tiếng Anh", "tiếng Pháp", "tiếng Nhật")
SIGNS = ("+", "-", "*", "/")
