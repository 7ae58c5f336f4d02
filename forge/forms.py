"""Question forms per kind of fact. Data only.

A form's `{x}` is the fact's `about`, `{b}` the same without its article.
"""
# ruff: noqa: E501 - a row of forms is easier to compare than a column
# fmt: off

from typing import Literal

from forge.knowledge import Kind

Language = Literal["en", "vi"]
LANGUAGES: tuple[Language, ...] = ("en", "vi")

FORMS: dict[Kind, dict[Language, tuple[str, ...]]] = {
    Kind.CONCEPT: {
        "en": ("What is {x}?", "What does {b} mean?", "Explain {x}.", "What is {b}?", "Tell me about {x}.", "What is meant by {b}?",
               "{b}?", "Define {b}.", "Can you explain {b}?", "I do not understand {b}.", "What is {x} in Troupe?", "Describe {x}.",
               "What do you know about {x}?", "Please explain {b} to me.", "What does the word {b} mean?"),
        "vi": ("{x} là gì?", "{x} nghĩa là gì?", "Giải thích {x}.", "Cho tôi biết về {x}.", "{x}?", "Định nghĩa {x}.",
               "Bạn giải thích {x} được không?", "Tôi không hiểu {x}.", "{x} trong Troupe là gì?", "Mô tả {x}.", "Bạn biết gì về {x}?",
               "Thế nào là {x}?", "Hãy giải thích {x} cho tôi.", "{x} có nghĩa gì?", "Khái niệm {x} là gì?"),
    },
    Kind.PURPOSE: {
        "en": ("What does {x} do?", "What is {x} for?", "What is {x}?", "Explain {x}.", "Tell me what {b} does.", "What is the purpose of {x}?",
               "{b}?", "When do I use {x}?", "Describe {x}.", "Why is there {x}?", "What is the use of {x}?", "Can you explain {x}?",
               "What do I need {x} for?", "What happens with {x}?"),
        "vi": ("{x} làm gì?", "{x} dùng để làm gì?", "{x} là gì?", "Giải thích {x}.", "Cho tôi biết {x} làm gì.", "Mục đích của {x} là gì?",
               "{x}?", "Khi nào tôi dùng {x}?", "Mô tả {x}.", "Tại sao có {x}?", "{x} có tác dụng gì?", "Bạn giải thích {x} được không?",
               "Tôi cần {x} để làm gì?", "Công dụng của {x} là gì?"),
    },
    Kind.VALUE: {
        "en": ("What is {x}?", "What are {x}?", "Tell me {x}.", "{b}?", "Do you know {x}?", "I need {x}.", "Give me {x}.", "What about {x}?",
               "Which is {x}?", "Please tell me {x}.", "I want to know {x}.", "Can you tell me {x}?", "Show me {x}.", "Say what {x} is."),
        "vi": ("{x} là gì?", "Cho tôi biết {x}.", "{x}?", "Bạn có biết {x} không?", "Tôi cần {x}.", "Cho tôi {x}.", "{x} thì sao?",
               "{x} là bao nhiêu?", "Hãy nói {x}.", "Tôi muốn biết {x}.", "Bạn cho tôi biết {x} được không?", "Nói cho tôi {x}.", "Hãy cho biết {x}.",
               "{x} là những gì?"),
    },
    Kind.WHICH: {
        "en": ("Which {x}?", "What {x}?", "Tell me which {x}.", "Do you know which {x}?", "I want to know which {x}.", "Which {x} here?",
               "Please tell me which {x}.", "Can you tell me which {x}?", "Say which {x}.", "Which {x} in Troupe?", "I wonder which {x}.",
               "May I ask which {x}?"),
        "vi": ("{x}?", "Cho tôi biết {x}.", "Bạn có biết {x} không?", "Tôi muốn biết {x}.", "Trong Troupe, {x}?", "Hãy cho biết {x}.",
               "Bạn cho tôi biết {x} được không?", "Hãy nói {x}.", "Cho hỏi {x}?", "Tôi hỏi {x}?", "Ở đây {x}?", "Xin cho biết {x}."),
    },
    Kind.HOW_TO: {
        "en": ("How do I {x}?", "How can I {x}?", "How to {x}?", "I want to {x}.", "Tell me how to {x}.", "What must I do to {x}?", "{x}",
               "Can I {x}?", "Show me how to {x}.", "What is the way to {x}?", "How does one {x}?", "I need to {x}.", "Please help me to {x}.",
               "How would I {x}?", "Is there a way to {x}?"),
        "vi": ("Làm sao để {x}?", "Làm thế nào để {x}?", "Cách {x}?", "Tôi muốn {x}.", "Hướng dẫn tôi {x}.", "Tôi phải làm gì để {x}?", "{x}",
               "Tôi có thể {x} không?", "Chỉ tôi cách {x}.", "Cách {x} là gì?", "Muốn {x} thì làm sao?", "Tôi cần {x}.", "Hãy giúp tôi {x}.",
               "{x} như thế nào?", "Có cách nào để {x} không?"),
    },
    Kind.MEANING: {
        "en": ("What does {x} mean?", "What is {x}?", "Explain the error {x}.", "I get {x}. What is that?", "{x}?", "What does the error {x} say?",
               "Why do I get {x}?", "What is the meaning of {x}?", "What is the error {x}?", "Tell me what {x} means.", "What is behind {x}?",
               "Why does {x} come?", "Explain {x}."),
        "vi": ("{x} nghĩa là gì?", "{x} là gì?", "Giải thích lỗi {x}.", "Tôi gặp {x}. Đó là gì?", "{x}?", "Lỗi {x} nói gì?", "Tại sao tôi gặp {x}?",
               "Ý nghĩa của {x} là gì?", "Lỗi {x} là gì?", "Cho tôi biết {x} nghĩa là gì.", "Đằng sau {x} là gì?", "Vì sao có {x}?", "Giải thích {x}."),
    },
    Kind.REMEDY: {
        "en": ("What do I do about {x}?", "How do I fix {x}?", "I get {x}. What can I do?", "How do I get rid of {x}?", "What helps against {x}?",
               "How can I avoid {x}?", "How do I solve {x}?", "Help, {x}!", "What should I do when I get {x}?", "How do I handle {x}?",
               "Fix {x}.", "What must I change when {x} comes?", "How to repair {x}?"),
        "vi": ("Tôi phải làm gì với {x}?", "Sửa {x} thế nào?", "Tôi gặp {x}. Tôi có thể làm gì?", "Làm sao để hết {x}?", "Cách khắc phục {x}?",
               "Làm sao để tránh {x}?", "Giải quyết {x} thế nào?", "Giúp tôi với, {x}!", "Tôi nên làm gì khi gặp {x}?", "Xử lý {x} ra sao?",
               "Sửa {x}.", "Tôi phải đổi gì khi có {x}?", "Khắc phục lỗi {x} thế nào?"),
    },
}
"""Forms that training uses."""

NEW_FORMS: dict[Kind, dict[Language, tuple[str, ...]]] = {
    Kind.CONCEPT: {
        "en": ("Could you tell me what {b} means?", "I keep reading about {b}, what is it?", "In short, what is {x}?"),
        "vi": ("Bạn có thể nói {x} nghĩa là gì không?", "Nói ngắn gọn, {x} là gì?", "Tôi muốn hiểu {x}."),
    },
    Kind.PURPOSE: {
        "en": ("Could you say what {x} does?", "What would I use {x} for?", "I saw {x}, what is it?"),
        "vi": ("Bạn có thể nói {x} làm gì không?", "Tôi dùng {x} vào việc gì?", "Nói ngắn gọn, {x} để làm gì?"),
    },
    Kind.VALUE: {
        "en": ("Could you give me {x}?", "I am looking for {x}.", "Remind me of {x}."),
        "vi": ("Bạn có thể cho tôi {x} không?", "Tôi đang tìm {x}.", "Nhắc tôi {x}."),
    },
    Kind.WHICH: {
        "en": ("Could you say which {x}?", "I forgot which {x}.", "Remind me which {x}."),
        "vi": ("Bạn có thể nói {x} không?", "Tôi quên {x}.", "Nhắc tôi {x}."),
    },
    Kind.HOW_TO: {
        "en": ("Could you show me how I {x}?", "What are the steps to {x}?", "I am trying to {x}."),
        "vi": ("Bạn có thể chỉ tôi {x} không?", "Các bước để {x}?", "Tôi đang cố {x}."),
    },
    Kind.MEANING: {
        "en": ("Could you tell me what {x} means?", "The hub says {x}, what does that mean?", "In short, what is {x}?"),
        "vi": ("Bạn có thể nói {x} nghĩa là gì không?", "Hub báo {x}, nghĩa là gì?", "Nói ngắn gọn, {x} là gì?"),
    },
    Kind.REMEDY: {
        "en": ("Could you help me fix {x}?", "The hub says {x}, what do I do?", "What is the remedy for {x}?"),
        "vi": ("Bạn có thể giúp tôi sửa {x} không?", "Hub báo {x}, tôi phải làm gì?", "Có cách nào chữa {x} không?"),
    },
}
"""Forms that are only used for evaluation."""
