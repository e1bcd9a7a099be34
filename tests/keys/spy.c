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
 *   no-ed25519    the token says that it has no CKM_EDDSA, as a TPM does
 *   fault         "ID CALL WHAT SKIP TIMES": from now on, CALL (a number, see below) works SKIP times, and then TIMES times
 *                 (0: for ever) it does not: WHAT is the CKR_* that it answers (hexadecimal), or hang, abort, segv, or lie:
 *                 it answers with one wrong bit. Another ID begins to count anew
 *   calls         one byte, the number of the call, is appended for each call that the fault names
 *
 * The function list is two version bytes and 68 pointers in the order of the standard (PKCS#11 2.40, 5.1 to 5.17).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long rv;
struct list {
    unsigned char version[2];
    rv (*call[68])();
};
enum { GET_SLOT_INFO = 5, GET_TOKEN_INFO = 6, GET_MECHANISM_LIST = 7, OPEN_SESSION = 12, LOGIN = 18, SIGN = 43 };

static struct list *real;
static struct list inner; /* the switches, before the fault */
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

static rv mechanism_list(rv slot, rv *mechanisms, rv *count) {
    rv result = real->call[GET_MECHANISM_LIST](slot, mechanisms, count);
    if (result == 0 && mechanisms != NULL && switched("no-ed25519")) {
        rv kept = 0;
        for (rv i = 0; i < *count; i++)
            if (mechanisms[i] != 0x1057)
                mechanisms[kept++] = mechanisms[i];
        *count = kept;
    }
    return result;
}

/* Whether this call is to go wrong; then `result` is what it answers. `lie` asks for a wrong bit instead. */
static int faulty(int number, rv *result, int *lie) {
    static char last[32];
    static int calls;
    char text[128] = "", id[32] = "", what[16] = "";
    int named = -1, skip = 0, times = 0, file = open(path("fault"), O_RDONLY);
    if (file < 0)
        return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0 || sscanf(text, "%31s %d %15s %d %d", id, &named, what, &skip, &times) != 5 || named != number)
        return 0;
    if (strcmp(last, id) != 0) {
        strcpy(last, id);
        calls = 0;
    }
    count("calls");
    calls++;
    if (calls <= skip || (times != 0 && calls > skip + times))
        return 0;
    if (strcmp(what, "abort") == 0)
        abort();
    if (strcmp(what, "segv") == 0)
        raise(SIGSEGV);
    if (strcmp(what, "hang") == 0)
        while (access(path("fault"), F_OK) == 0)
            usleep(10000);
    if (strcmp(what, "lie") == 0)
        *lie = 1;
    *result = strtoul(what, NULL, 16);
    return *lie || strcmp(what, "hang") != 0;
}

/* Six arguments are enough for every call that is made here, and eight for every one that there is. */
#define WRAP(n)                                                                                                        \
    static rv wrap##n(rv a, rv b, rv c, unsigned char *d, rv e, rv f, rv g, rv h) {                                     \
        rv result;                                                                                                     \
        int lie = 0;                                                                                                   \
        if (!faulty(n, &result, &lie))                                                                                 \
            return inner.call[n](a, b, c, d, e, f, g, h);                                                              \
        if (!lie)                                                                                                      \
            return result;                                                                                             \
        result = inner.call[n](a, b, c, d, e, f, g, h);                                                                \
        if (d != NULL)                                                                                                 \
            d[5] ^= 1;                                                                                                 \
        return result;                                                                                                 \
    }
#define EACH(X)                                                                                                        \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19)       \
    X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31) X(32) X(33) X(34) X(35) X(36) X(37)         \
    X(38) X(39) X(40) X(41) X(42) X(43) X(44) X(45) X(46) X(47) X(48) X(49) X(50) X(51) X(52) X(53) X(54) X(55)         \
    X(56) X(57) X(58) X(59) X(60) X(61) X(62) X(63) X(64) X(65) X(66) X(67)
#define ENTER(n) spied.call[n] = (rv(*)())wrap##n;
EACH(WRAP)

rv C_GetFunctionList(struct list **list) {
    if (switched("crash"))
        abort();
    void *handle = dlopen(getenv("SPY_MODULE"), RTLD_NOW | RTLD_LOCAL);
    rv (*get)(struct list **) = handle ? (rv(*)(struct list **))dlsym(handle, "C_GetFunctionList") : NULL;
    if (get == NULL || get(&real) != 0)
        return 0x5;
    memcpy(&inner, real, sizeof inner);
    inner.call[LOGIN] = login;
    inner.call[GET_TOKEN_INFO] = token_info;
    inner.call[GET_SLOT_INFO] = slot_info;
    inner.call[GET_MECHANISM_LIST] = mechanism_list;
    inner.call[OPEN_SESSION] = open_session;
    inner.call[SIGN] = sign;
    memcpy(spied.version, real->version, sizeof spied.version);
    EACH(ENTER)
    *list = &spied;
    return 0;
}
