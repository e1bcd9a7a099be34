/* A PKCS#11 module in front of SoftHSM: counts logins, and fails as hardware does, on demand.
 *
 * SPY_MODULE is the module behind it; files in the folder SPY_FOLDER are its switches:
 *   logins        one byte is appended for each C_Login that reaches the token
 *   logged-in     likewise when it comes back
 *   final-try     the token says that one more wrong PIN locks it
 *   locked        C_Login answers CKR_PIN_LOCKED
 *   hardware      the slot says that it is hardware
 *   sign-once     the second C_Sign of a session fails, as OP-TEE's does
 *   crash         the library ends the process when it is loaded
 *   hang          C_Sign does not come back while the file is there
 *   hang-login    C_Login likewise
 *
 * The function list is two version bytes and 68 pointers in the order of the standard (PKCS#11 2.40, 5.1 to 5.17).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long rv;
struct list {
    unsigned char version[2];
    rv (*call[68])();
};
enum { GET_SLOT_INFO = 5, GET_TOKEN_INFO = 6, OPEN_SESSION = 12, LOGIN = 18, SIGN = 43 };

static struct list *real;
static struct list spied;
static int signs;

static const char *path(const char *name) {
    static char full[PATH_MAX];
    snprintf(full, sizeof full, "%s/%s", getenv("SPY_FOLDER"), name);
    return full;
}

static int switched(const char *name) { return access(path(name), F_OK) == 0; }

static void count(const char *name) {
    int file = open(path(name), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (write(file, "x", 1) != 1)
        abort();
    close(file);
}

static rv login(rv session, rv user, void *pin, rv length) {
    count("logins");
    while (switched("hang-login"))
        usleep(10000);
    rv result = switched("locked") ? 0xa4 : real->call[LOGIN](session, user, pin, length);
    count("logged-in");
    return result;
}

static rv token_info(rv slot, char *info) {
    rv result = real->call[GET_TOKEN_INFO](slot, info);
    if (switched("final-try"))
        *(rv *)(info + 96) |= 0x20000;
    return result;
}

static rv slot_info(rv slot, char *info) {
    rv result = real->call[GET_SLOT_INFO](slot, info);
    if (switched("hardware"))
        *(rv *)(info + 96) |= 4;
    return result;
}

static rv open_session(rv slot, rv flags, void *data, void *notify, void *session) {
    signs = 0;
    return real->call[OPEN_SESSION](slot, flags, data, notify, session);
}

static rv sign(rv session, void *data, rv length, void *signature, void *size) {
    while (switched("hang"))
        usleep(10000);
    if (signature != NULL && switched("sign-once") && signs++ > 0)
        return 0x5;
    return real->call[SIGN](session, data, length, signature, size);
}

rv C_GetFunctionList(struct list **list) {
    if (switched("crash"))
        abort();
    void *handle = dlopen(getenv("SPY_MODULE"), RTLD_NOW | RTLD_LOCAL);
    rv (*get)(struct list **) = handle ? (rv(*)(struct list **))dlsym(handle, "C_GetFunctionList") : NULL;
    if (get == NULL || get(&real) != 0)
        return 0x5;
    memcpy(&spied, real, sizeof spied);
    spied.call[LOGIN] = login;
    spied.call[GET_TOKEN_INFO] = token_info;
    spied.call[GET_SLOT_INFO] = slot_info;
    spied.call[OPEN_SESSION] = open_session;
    spied.call[SIGN] = sign;
    *list = &spied;
    return 0;
}
