"""An SMTP server that tells what it took as lines of JSON: python3 smtp_server.py tls|starttls|plain FOLDER

Whom a mail is for says how it is answered: nobody@ is refused, later@ is told to wait, spam@ and full@ are refused once
the mail is there, hang@ hears nothing more, drop@ is cut off.
"""

import asyncio, email, email.policy, json, logging, ssl, sys
from html.parser import HTMLParser
from aiosmtpd.smtp import SMTP, AuthResult

logging.disable(logging.WARNING)
MODE, FOLDER = sys.argv[1:3]
USER, PASSWORD = b"watch", b"a night watch of nine bells"
RCPT = {"nobody": "550 5.1.1 <script>no such user</script>", "later": "451 4.7.1 greylisted, try again"}
DATA = {"spam": "554 5.7.1 this looks like spam", "full": "452 4.2.2 mailbox full"}


class Seen(HTMLParser):
    """The tags of a page, the addresses of its links, and the text that people see."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags, self.links, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name == "href"]
        self.tags += [f"{tag} {name}" for name, _ in attributes if name not in ("href", "style", "lang", "charset")]

    def handle_comment(self, data):
        self.tags.append("comment")

    def handle_data(self, data):
        self.text.append(data)


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = RCPT.get(address.split("@")[0])
        if answer is None:
            envelope.rcpt_tos.append(address)
        return answer or "250 OK"

    async def handle_DATA(self, server, session, envelope):
        to = envelope.rcpt_tos[0].split("@")[0]
        if to == "hang":
            await asyncio.sleep(60)
        if to == "drop":
            server.transport.abort()
            return "250 never heard"
        if to in DATA:
            return DATA[to]
        told(server, session, envelope)
        return "250 2.0.0 taken"


def told(server, session, envelope):
    raw = envelope.original_content
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    parts = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
    seen = Seen()
    seen.feed(parts["text/html"])
    line = {
        "from": envelope.mail_from,
        "to": envelope.rcpt_tos,
        "is_tls": server.transport.get_extra_info("ssl_object") is not None,
        "is_known": bool(session.authenticated),
        "headers": [[name, str(value)] for name, value in mail.items()],
        "defects": [str(it) for it in mail.defects],
        "longest_line": max(len(it) for it in raw.split(b"\r\n")),
        "is_ascii": raw.isascii(),
        "parts": [part.get_content_type() for part in mail.walk()],
        "plain": parts["text/plain"],
        "html_tags": seen.tags,
        "html_links": seen.links,
        "html_text": "".join(seen.text),
    }
    print(json.dumps(line), flush=True)


def authenticator(server, session, envelope, mechanism, data):
    return AuthResult(success=data.login == USER and data.password == PASSWORD, handled=False)


async def main():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(f"{FOLDER}/cert.pem", f"{FOLDER}/key.pem")

    def connection():
        known = {"authenticator": authenticator, "auth_require_tls": MODE != "plain"}
        if MODE == "starttls":
            return SMTP(Handler(), tls_context=context, require_starttls=True, auth_required=True, **known)
        if MODE == "tls":
            # The connection is protected before the first word: aiosmtpd cannot know.
            return SMTP(Handler(), auth_required=True, authenticator=authenticator, auth_require_tls=False)
        return SMTP(Handler(), **known)

    wrapped = context if MODE == "tls" else None
    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0, ssl=wrapped)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
