"""The members of the demo's organization, in the order in which they are added."""

OWNER = ("Ada Rossi", "owner@aurora.example")

# name, role, seat type; e-mail addresses are made from the names
MEMBERS: tuple[tuple[str, str, str | None], ...] = (
    ("Bruno Conti", "owner", "chat_claude_code"),
    ("Chiara Greco", "admin", "chat_claude_code"),
    ("Dieter Lang", "billing", "chat"),
    ("Elena Marino", "member", "chat_claude_code"),
    ("Farid Haddad", "member", "chat_claude_code"),
    ("Giulia Ferrari", "member", "chat_claude_code"),
    ("Hana Sato", "member", "chat_claude_code"),
    ("Ivan Petrov", "member", "chat_claude_code"),
    ("Julia Novak", "member", "chat_claude_code"),
    ("Kwame Mensah", "member", "chat_claude_code"),
    ("Luca Moretti", "member", "chat_claude_code"),
    ("Maria Esposito", "member", "chat_claude_code"),
    ("Nils Berg", "member", "chat_claude_code"),
    ("Olivia Brown", "member", "chat_claude_code"),
    ("Paolo Ricci", "member", "chat_claude_code"),
    ("Qing Li", "member", "chat_claude_code"),
    ("Rosa Delgado", "member", "chat_claude_code"),
    ("Samir Khan", "member", "chat_claude_code"),
    ("Tereza Dvorak", "member", "chat_claude_code"),
    ("Umberto Galli", "member", "chat"),
    ("Valentina Costa", "member", "chat"),
    ("Walter Fischer", "member", "chat"),
    ("Ximena Torres", "member", "chat"),
    ("Yusuf Demir", "member", "chat"),
    ("Zoe Martin", "member", "chat"),
    ("Alessandro Fontana", "member", "chat"),
    ("Beatrice Lombardi", "member", "chat"),
    ("Carlos Ruiz", "member", "chat"),
    ("Daniela Serra", "member", "chat"),
    ("Erik Johansson", "member", "chat"),
    ("Francesca Villa", "member", "chat"),
    ("Grace Okafor", "member", "chat"),
    ("Hugo Lefevre", "member", "chat"),
    ("Irene Barbieri", "member", "chat"),
    ("Jan Kowalski", "member", "chat"),
    ("Katarina Horvat", "member", "chat"),
    ("Lorenzo Bianchi", "member", "chat"),
    ("Mei Tanaka", "member", "chat"),
    ("Nora Hansen", "member", None),
)

# name, description, members: two teams that overlap, and a trial
GROUPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "Platform",
        "Builds what everybody else works with",
        ("Elena Marino", "Farid Haddad", "Giulia Ferrari", "Hana Sato", "Ivan Petrov", "Julia Novak", "Kwame Mensah"),
    ),
    (
        "Research",
        "Questions that take longer than a sprint",
        ("Kwame Mensah", "Luca Moretti", "Maria Esposito", "Nils Berg", "Valentina Costa", "Walter Fischer"),
    ),
    ("Trial", "New to it, with a ceiling for each", ("Irene Barbieri", "Jan Kowalski", "Mei Tanaka")),
)


def address(name: str) -> str:
    """Return a member's e-mail address."""
    return f"{name.lower().replace(' ', '.')}@aurora.example"
