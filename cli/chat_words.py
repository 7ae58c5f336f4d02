"""What the terminal chat says, in English and Vietnamese."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """One language. Fields in braces are filled in where the sentence is used."""

    welcome: str
    coming: str
    placeholder: str
    leave_hint: str
    stopped: str
    lost_rest: str
    cut_at_limit: str
    waiting: str
    queued: str
    place: str
    about: str
    loading: str
    running: str
    thinking: str
    reconnecting: str
    not_running: str
    nothing_asked: str
    too_much_asked: str
    error: str
    find_reference: str
    try_new: str
    try_retry: str
    unknown_command: str
    did_you_mean: str
    see_help: str
    see_models: str
    say_slash: str
    model_is: str
    model_set: str
    model_unknown: str
    no_models: str
    system_is: str
    system_none: str
    system_set: str
    system_removed: str
    began_anew: str
    nothing_to_retry: str
    nothing_to_save: str
    save_where: str
    saved: str
    exists: str
    not_saved: str
    no_usage: str
    usage_last: str
    usage_total: str
    usage_line: str
    usage_speed: str
    column_model: str
    column_state: str
    column_size: str
    column_context: str
    column_about: str
    states: Mapping[str, str]
    help_head: str
    help_keys: str
    commands: Mapping[str, str]


ENGLISH = Words(
    welcome="Troupe at {target}, model {model}. /help shows the commands, Ctrl-D leaves.",
    coming="{model} is being fetched ({percent}); /model {model} asks it once it is there.",
    placeholder="Ask something",
    leave_hint="Ctrl-C once more, or Ctrl-D, leaves.",
    stopped="stopped",
    lost_rest="The answer broke off here.",
    cut_at_limit="The answer ends here because its token limit is used up.",
    waiting="Waiting for the answer",
    queued="Waiting in line",
    place="place {position}",
    about="about {seconds} s",
    loading="Loading {model}",
    running="Reading the prompt",
    thinking="Thinking",
    reconnecting="The connection was lost; looking for the hub again",
    not_running="No Troupe hub answers at {target}.\nStart one with:  troupe up   (in the repository also: make up)\n"
    "If it runs elsewhere, name it:  troupe chat --target HOST:PORT",
    nothing_asked='There is nothing to ask. Give a prompt: troupe chat "…", or: echo "…" | troupe chat',
    too_much_asked="The input is over {limit} bytes; ask about less at once.",
    error="Error",
    find_reference="Reference {reference}: on the hub's machine `troupe logs {reference}` tells more.",
    try_new="The conversation has grown too long: /new begins another one.",
    try_retry="/retry asks again.",
    unknown_command="There is no command {command}.",
    did_you_mean="Did you mean {names}?",
    see_help="/help lists the commands.",
    see_models="/models lists the models.",
    say_slash="To say something that begins with a slash, begin with two.",
    model_is="The model is {model}.",
    model_set="From here on {model} answers.",
    model_unknown="There is no model {model}.",
    no_models="The hub has no chat model.",
    system_is="System prompt: {text}",
    system_none="There is no system prompt. /system TEXT sets one.",
    system_set="System prompt set. /system - removes it.",
    system_removed="System prompt removed.",
    began_anew="A new conversation.",
    nothing_to_retry="Nothing was said yet.",
    nothing_to_save="Nothing was said yet.",
    save_where="Name the file: /save talk.md, or /save talk.json",
    saved="Saved to {path}.",
    exists="{path} exists already; choose another name.",
    not_saved="{path} cannot be written: {why}.",
    no_usage="Nothing was used yet.",
    usage_last="Last answer",
    usage_total="All answers",
    usage_line="{prompt} prompt tokens ({cached} from the cache), {completion} answer tokens",
    usage_speed="{queue:.2f} s in line, {prefill:.2f} s until the first token, then {rate:.1f} tokens/s",
    column_model="Model",
    column_state="State",
    column_size="Parameters",
    column_context="Context",
    column_about="About",
    states={
        "AVAILABLE": "can be loaded",
        "LOADING": "loading",
        "READY": "ready",
        "FAILED": "failed",
        "DRAINING": "draining",
        "UNSPECIFIED": "unknown",
    },
    help_head="Commands",
    help_keys="Enter sends, Alt+Enter begins a new line, Ctrl-C stops an answer, Ctrl-D leaves.",
    commands={
        "/model": "NAME  answer with another model; without a name: which one answers",
        "/models": "list the models",
        "/system": "TEXT  set the system prompt; - removes it; alone: show it",
        "/new": "forget this conversation and begin another",
        "/retry": "take back the last answer and ask again",
        "/save": "FILE  write the conversation as Markdown, or as JSON if the name ends in .json",
        "/usage": "what the answers cost",
        "/help": "this list",
        "/quit": "leave",
    },
)

VIETNAMESE = Words(
    welcome="Troupe tại {target}, mô hình {model}. /help hiện các lệnh, Ctrl-D để thoát.",
    coming="Đang tải {model} về ({percent}); khi có, dùng /model {model} để hỏi.",
    placeholder="Hãy hỏi điều gì đó",
    leave_hint="Nhấn Ctrl-C lần nữa, hoặc Ctrl-D, để thoát.",
    stopped="đã dừng",
    lost_rest="Câu trả lời bị ngắt tại đây.",
    cut_at_limit="Câu trả lời dừng ở đây vì đã dùng hết giới hạn token.",
    waiting="Đang chờ câu trả lời",
    queued="Đang xếp hàng",
    place="vị trí {position}",
    about="khoảng {seconds} giây",
    loading="Đang nạp {model}",
    running="Đang đọc lời nhắc",
    thinking="Đang suy nghĩ",
    reconnecting="Mất kết nối; đang tìm lại hub",
    not_running="Không có hub Troupe nào trả lời tại {target}.\n"
    "Khởi động hub bằng:  troupe up   (trong kho mã cũng có: make up)\n"
    "Nếu hub chạy ở nơi khác, hãy chỉ rõ:  troupe chat --target MÁY:CỔNG",
    nothing_asked='Không có câu hỏi nào. Hãy dùng: troupe chat "…", hoặc: echo "…" | troupe chat',
    too_much_asked="Dữ liệu vào quá {limit} byte; hãy hỏi ít hơn mỗi lần.",
    error="Lỗi",
    find_reference="Mã tham chiếu {reference}: trên máy của hub, `troupe logs {reference}` cho biết thêm.",
    try_new="Cuộc trò chuyện đã quá dài: /new bắt đầu cuộc mới.",
    try_retry="/retry để hỏi lại.",
    unknown_command="Không có lệnh {command}.",
    did_you_mean="Có phải bạn muốn dùng {names}?",
    see_help="/help liệt kê các lệnh.",
    see_models="/models liệt kê các mô hình.",
    say_slash="Muốn nói điều bắt đầu bằng dấu gạch chéo, hãy gõ hai dấu.",
    model_is="Mô hình hiện tại là {model}.",
    model_set="Từ đây {model} sẽ trả lời.",
    model_unknown="Không có mô hình {model}.",
    no_models="Hub không có mô hình trò chuyện nào.",
    system_is="Lời nhắc hệ thống: {text}",
    system_none="Chưa có lời nhắc hệ thống. /system VĂN-BẢN để đặt.",
    system_set="Đã đặt lời nhắc hệ thống. /system - để bỏ.",
    system_removed="Đã bỏ lời nhắc hệ thống.",
    began_anew="Cuộc trò chuyện mới.",
    nothing_to_retry="Chưa có gì được nói.",
    nothing_to_save="Chưa có gì được nói.",
    save_where="Hãy cho tên tệp: /save talk.md, hoặc /save talk.json",
    saved="Đã lưu vào {path}.",
    exists="{path} đã tồn tại; hãy chọn tên khác.",
    not_saved="Không ghi được {path}: {why}.",
    no_usage="Chưa dùng gì cả.",
    usage_last="Câu trả lời cuối",
    usage_total="Tất cả câu trả lời",
    usage_line="{prompt} token lời nhắc ({cached} từ bộ nhớ đệm), {completion} token trả lời",
    usage_speed="chờ {queue:.2f} giây, {prefill:.2f} giây đến token đầu tiên, sau đó {rate:.1f} token/giây",
    column_model="Mô hình",
    column_state="Trạng thái",
    column_size="Tham số",
    column_context="Ngữ cảnh",
    column_about="Mô tả",
    states={
        "AVAILABLE": "có thể nạp",
        "LOADING": "đang nạp",
        "READY": "sẵn sàng",
        "FAILED": "hỏng",
        "DRAINING": "đang ngừng",
        "UNSPECIFIED": "không rõ",
    },
    help_head="Các lệnh",
    help_keys="Enter để gửi, Alt+Enter để xuống dòng, Ctrl-C dừng câu trả lời, Ctrl-D để thoát.",
    commands={
        "/model": "TÊN  đổi mô hình trả lời; không có tên: cho biết mô hình hiện tại",
        "/models": "liệt kê các mô hình",
        "/system": "VĂN-BẢN  đặt lời nhắc hệ thống; - để bỏ; để trống: xem lời nhắc",
        "/new": "quên cuộc trò chuyện này và bắt đầu cuộc khác",
        "/retry": "rút lại câu trả lời cuối và hỏi lại",
        "/save": "TỆP  ghi cuộc trò chuyện dạng Markdown, hoặc JSON nếu tên kết thúc bằng .json",
        "/usage": "các câu trả lời đã tốn bao nhiêu",
        "/help": "danh sách này",
        "/quit": "thoát",
    },
)

LANGUAGES = {"en": ENGLISH, "vi": VIETNAMESE}


def words_for(language: str | None, environ: Mapping[str, str]) -> Words:
    """The words of a language that was asked for, else of the environment's locale, else English."""
    if language:
        return LANGUAGES[language]
    locale = next((environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(name)), "")
    return LANGUAGES.get(locale[:2].lower(), ENGLISH)
