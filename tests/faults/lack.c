/* Calls that fail with the number that the file $LACK says, as long as it says one: the first number is for connect,
   the second for accept. Preloaded into the program under test. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static const volatile int *lack;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("LACK");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0)
        return;
    void *page = mmap(NULL, 2 * sizeof *lack, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED)
        lack = page;
    close(file);
}

int connect(int socket, const struct sockaddr *address, socklen_t length)
{
    if (lack && lack[0]) {
        errno = lack[0];
        return -1;
    }
    return (int)syscall(SYS_connect, socket, address, length);
}

int accept4(int socket, struct sockaddr *restrict address, socklen_t *restrict length, int flags)
{
    if (lack && lack[1]) {
        errno = lack[1];
        return -1;
    }
    return (int)syscall(SYS_accept4, socket, address, length, flags);
}
