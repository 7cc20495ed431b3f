"""So many clients, each with a data connection open at the same moment: many.py HOST USER PASSWORD COUNT FILE LENGTH."""

import ftplib
import sys
import threading

host, user, password, count, file, length = sys.argv[1:7]
count, length = int(count), int(length)
threading.stack_size(256 * 1024)
together = threading.Barrier(count)
# vsftpd has 32 places in its queue. Of who comes beyond these the kernel forgets some that it has answered (SYN cookies),
# and they wait for a greeting for ever: so no more come in at once than it has room for.
entrance = threading.Semaphore(16)
failed = []


def client(number):
    try:
        ftp = ftplib.FTP(timeout=120)
        with entrance:
            ftp.connect(host, 21)
            ftp.login(user, password)
        ftp.set_pasv(number % 2 == 0)
        ftp.voidcmd("TYPE I")
        data = ftp.transfercmd("RETR " + file)
        together.wait(120)
        got = 0
        while piece := data.recv(65536):
            got += len(piece)
        data.close()
        ftp.voidresp()
        ftp.quit()
        assert got == length, got
    except Exception as error:  # Whatever it is, the others need not wait for it.
        failed.append(f"{number}: {error!r}")
        together.abort()


threads = [threading.Thread(target=client, args=(number,)) for number in range(count)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if failed:
    failed.sort(key=lambda what: "BrokenBarrier" in what)  # Those that the others waited for.
    sys.exit(f"{len(failed)} of {count} failed: {failed[:5]}")
print("all is well")
