"""Everything that a client does with files, by Python's ftplib: client.py HOST USER PASSWORD ROUND.

What goes wrong is an exception. Files go into the directory `up`, which the server lets its users write.
"""

import ftplib
import io
import socket
import sys

host, user, password, round_ = sys.argv[1:5]
CONTENT = bytes(place * 7 % 251 for place in range(300_000))


def connect(passive):
    ftp = ftplib.FTP(timeout=30)
    ftp.connect(host, 21)
    ftp.login(user, password)
    ftp.set_pasv(passive)
    ftp.voidcmd("TYPE I")
    return ftp


def get(ftp, name, rest=None):
    got = io.BytesIO()
    ftp.retrbinary("RETR " + name, got.write, rest=rest)
    return got.getvalue()


def put_and_get(ftp, name):
    ftp.storbinary("STOR " + name, io.BytesIO(CONTENT[:200_000]))
    ftp.storbinary("APPE " + name, io.BytesIO(CONTENT[200_000:250_000]))
    ftp.storbinary("STOR " + name, io.BytesIO(CONTENT[250_000:]), rest=250_000)
    assert get(ftp, name) == CONTENT, "the whole file"
    assert get(ftp, name, rest=123_456) == CONTENT[123_456:], "the rest of it"


def many(ftp, prefix):
    names = [f"{prefix}-{number}" for number in range(20)]
    for number, name in enumerate(names):
        ftp.storbinary("STOR " + name, io.BytesIO(CONTENT[: number * 1000]))
    listed = {name.split("/")[-1] for name in ftp.nlst()}
    assert set(names) <= listed, listed
    lines = []
    ftp.retrlines("LIST", lines.append)
    assert len(lines) >= len(names), lines
    for number, name in enumerate(names):
        assert get(ftp, name) == CONTENT[: number * 1000], name
        ftp.delete(name)


def abort(ftp, name):
    """Begins to fetch a large file, and has enough of it."""
    data = ftp.transfercmd("RETR " + name)
    assert data.recv(1000)
    ftp.sock.sendall(b"\xff\xf4\xff", 0)
    ftp.sock.sendall(b"\xf2", socket.MSG_OOB)
    ftp.putline("ABOR")
    data.close()
    # 426 and 226, 226 and 226, or one of them (RFC 959 section 4.1.3); pure-ftpd has more to say.
    reply = ftp.getmultiline()
    ftp.putline("NOOP")
    while reply[:3] != "200":
        assert reply[:3] in ("150", "426", "226", "225", "451", "500"), reply
        reply = ftp.getmultiline()
    assert get(ftp, name)[:1000] == CONTENT[:1000], "it goes on after that"


for passive in (True, False):
    name = f"{round_}-{'passive' if passive else 'active'}"
    ftp = connect(passive)
    ftp.cwd("up")
    put_and_get(ftp, name)
    many(ftp, name)
    abort(ftp, "../big")
    ftp.quit()
print("all is well")
