"""What each error means and what to do about it, by its stable reason."""
# ruff: noqa: E501 - one fact per row
# fmt: off

from forge.knowledge.fact import Row

ERRORS: tuple[Row, ...] = (
    ("METHOD_NOT_FOUND", "No service has a method of this name.", "Check the full name: package.Service/Method.",
     "Không có dịch vụ nào có phương thức tên này.", "Hãy kiểm tra tên đầy đủ: package.Service/Method."),
    ("MODEL_NOT_FOUND", "There is no model of this name; the message names the nearest ones.", "List the models with troupe models and use one of those names.",
     "Không có mô hình tên này; thông báo nêu các tên gần nhất.", "Hãy xem danh sách bằng troupe models và dùng một tên trong đó."),
    ("CONTEXT_LENGTH_EXCEEDED", "The prompt does not fit the model's context; the counts are in the message.", "Shorten the conversation, lower max_tokens or use a model with a longer context.",
     "Prompt không vừa ngữ cảnh của mô hình; số token có trong thông báo.", "Hãy rút ngắn hội thoại, giảm max_tokens hoặc dùng mô hình có ngữ cảnh dài hơn."),
    ("INVALID_ARGUMENT", "A field of the request has a value that is not allowed; the error names the field.", "Correct the field that the error names.",
     "Một trường của yêu cầu có giá trị không hợp lệ; lỗi nêu tên trường.", "Hãy sửa trường mà lỗi nêu tên."),
    ("INVALID_SCHEMA", "The JSON schema cannot be compiled.", "Correct or simplify the JSON schema; the message says which part.",
     "JSON schema không biên dịch được.", "Hãy sửa hoặc đơn giản hóa JSON schema; thông báo nói phần nào."),
    ("MALFORMED_FRAME", "What arrived is not a valid frame.", "Check how your client encodes frames; docs/wire.md describes them.",
     "Thứ nhận được không phải là frame hợp lệ.", "Hãy kiểm tra cách client mã hóa frame; docs/wire.md mô tả chúng."),
    ("MESSAGE_TOO_LARGE", "A message is larger than allowed; it is refused at the sender.", "Send less, or pass large content by reference through the blob store.",
     "Thông điệp lớn hơn mức cho phép; nó bị từ chối ở bên gửi.", "Hãy gửi ít hơn, hoặc chuyển nội dung lớn bằng tham chiếu qua kho blob."),
    ("DEADLINE_EXCEEDED", "The call did not end before its deadline.", "Give the call a longer timeout or ask for a shorter answer.",
     "Lời gọi không kết thúc trước thời hạn.", "Hãy cho lời gọi thời hạn dài hơn hoặc yêu cầu câu trả lời ngắn hơn."),
    ("CANCELLED", "The caller stopped the call.", "Nothing is wrong; call again if you still want the answer.",
     "Bên gọi đã dừng lời gọi.", "Không có gì sai; hãy gọi lại nếu bạn vẫn cần câu trả lời."),
    ("NO_RESPONDERS", "Nobody on the bus serves this route.", "Look at /readyz: the actor is not running or the model is not loaded.",
     "Không ai trên bus phục vụ route này.", "Hãy xem /readyz: actor không chạy hoặc mô hình chưa nạp."),
    ("PEER_LOST", "The process on the other side of the call is gone.", "Call again; the supervisor restarts the process.",
     "Tiến trình ở phía bên kia của lời gọi đã mất.", "Hãy gọi lại; supervisor sẽ khởi động lại tiến trình."),
    ("STREAM_GAP", "Payloads are missing in the stream and could not be recovered.", "Make the call again; if it happens often, check the network.",
     "Luồng bị thiếu payload và không khôi phục được.", "Hãy gọi lại; nếu hay xảy ra, hãy kiểm tra mạng."),
    ("RESUME_REFUSED", "The resume key is not the one of the call.", "Send the resume key that the call was opened with.",
     "Resume key không phải của lời gọi này.", "Hãy gửi đúng resume key đã dùng khi mở lời gọi."),
    ("RESUME_OUT_OF_RANGE", "The wanted part of the stream is no longer kept.", "Start the call again; reconnect sooner next time.",
     "Phần luồng cần lấy không còn được giữ.", "Hãy bắt đầu lại lời gọi; lần sau hãy kết nối lại sớm hơn."),
    ("CALL_NOT_FOUND", "No call of this id is known; it has ended or never was.", "Open a new call.",
     "Không biết lời gọi có mã này; nó đã kết thúc hoặc chưa từng có.", "Hãy mở một lời gọi mới."),
    ("CALL_EXISTS", "A call with this id is already open.", "Choose another call id; use 16 random bytes.",
     "Đã có lời gọi đang mở với mã này.", "Hãy chọn call id khác; dùng 16 byte ngẫu nhiên."),
    ("UNAUTHENTICATED", "The API key is missing or wrong.", "Send a valid key: --key, TROUPE_KEY or Authorization: Bearer tr-<key>.",
     "Thiếu khóa API hoặc khóa sai.", "Hãy gửi khóa hợp lệ: --key, TROUPE_KEY hoặc Authorization: Bearer tr-<khóa>."),
    ("PERMISSION_DENIED", "The key is valid but may not do this.", "Use a key that has the needed scope.",
     "Khóa hợp lệ nhưng không được phép làm việc này.", "Hãy dùng khóa có scope cần thiết."),
    ("RATE_LIMITED", "Too many messages in a short time.", "Wait as long as Retry-After says, then try again.",
     "Quá nhiều thông điệp trong thời gian ngắn.", "Hãy chờ theo Retry-After rồi thử lại."),
    ("TOO_MANY_CALLS", "There are too many calls in flight.", "Wait until some calls have ended, or raise the limit in [limits].",
     "Có quá nhiều lời gọi đang chạy.", "Hãy chờ vài lời gọi kết thúc, hoặc tăng giới hạn trong [limits]."),
    ("TOO_MANY_CONNECTIONS", "There are too many connections.", "Close connections you do not need; one WebSocket carries many calls.",
     "Có quá nhiều kết nối.", "Hãy đóng kết nối không cần; một WebSocket mang được nhiều lời gọi."),
    ("QUEUE_FULL", "The model's waiting line is full.", "Try again later; the error says when.",
     "Hàng chờ của mô hình đã đầy.", "Hãy thử lại sau; lỗi cho biết khi nào."),
    ("MODEL_LOAD_FAILED", "The model's file could not be loaded.", "Check that the file is a whole and valid GGUF and that memory is enough.",
     "Không nạp được tệp mô hình.", "Hãy kiểm tra tệp là GGUF nguyên vẹn, hợp lệ và bộ nhớ đủ."),
    ("ENGINE_CRASHED", "The model's process ended while it worked; the hub stays up.", "Call again; the supervisor brings the process back.",
     "Tiến trình của mô hình đã dừng khi đang làm việc; hub vẫn chạy.", "Hãy gọi lại; supervisor đưa tiến trình trở lại."),
    ("VERSION_MISMATCH", "The two sides speak different protocol versions.", "Update the older side; the error names the versions that are spoken.",
     "Hai phía dùng phiên bản giao thức khác nhau.", "Hãy cập nhật phía cũ hơn; lỗi nêu các phiên bản được hỗ trợ."),
    ("SHUTTING_DOWN", "The process is draining and takes no new calls.", "Try again when it has started anew.",
     "Tiến trình đang drain và không nhận lời gọi mới.", "Hãy thử lại khi nó đã khởi động lại."),
    ("UNSUPPORTED_CONTENT", "The model cannot read this kind of content, for example an image.", "Send text, or use a model that reads this content.",
     "Mô hình không đọc được loại nội dung này, ví dụ hình ảnh.", "Hãy gửi văn bản, hoặc dùng mô hình đọc được nội dung này."),
    ("ADAPTER_NOT_FOUND", "There is no LoRA adapter of this name.", "Put the adapter at $TROUPE_HOME/adapters/<name>.gguf.",
     "Không có adapter LoRA tên này.", "Hãy đặt adapter vào $TROUPE_HOME/adapters/<tên>.gguf."),
    ("RESUMED_ELSEWHERE", "Another connection has resumed the call and has it now.", "Nothing is lost; go on where the call was resumed.",
     "Một kết nối khác đã nối tiếp lời gọi và đang giữ nó.", "Không mất gì; hãy tiếp tục ở nơi đã nối tiếp lời gọi."),
    ("HOST_NOT_ALLOWED", "A browser came by a name that the hub does not know.", "Add the name to allowed_hosts under [http].",
     "Trình duyệt vào bằng một tên mà hub không biết.", "Hãy thêm tên đó vào allowed_hosts dưới [http]."),
    ("ORIGIN_NOT_ALLOWED", "A web page of another origin called the hub.", "Add the page's origin to cors_origins in troupe.toml.",
     "Một trang web có origin khác đã gọi hub.", "Hãy thêm origin của trang vào cors_origins trong troupe.toml."),
    ("CREDIT_EXCEEDED", "The sender sent more payloads than its credit allowed.", "Let your client wait for CREDIT before it sends more.",
     "Bên gửi đã gửi nhiều payload hơn credit cho phép.", "Hãy để client chờ CREDIT trước khi gửi tiếp."),
    ("INTERNAL", "Something went wrong inside the hub; the error carries a reference id.", "Look for the reference id in the logs.",
     "Có lỗi bên trong hub; lỗi mang một mã tham chiếu.", "Hãy tìm mã tham chiếu trong nhật ký."),
)
"""Reason, then meaning and remedy in English, then in Vietnamese."""


def meanings() -> tuple[Row, ...]:
    """One row per reason that says what it means."""
    return tuple((reason, reason, f"{reason}: {en}", reason, f"{reason}: {vi}") for reason, en, _, vi, _ in ERRORS)


def remedies() -> tuple[Row, ...]:
    """One row per reason that says what to do."""
    return tuple((reason, reason, en, reason, vi) for reason, _, en, _, vi in ERRORS)
