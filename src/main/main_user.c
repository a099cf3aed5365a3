/* SPDX-License-Identifier: Apache-2.0 */
/* main_user.c - see main_user.h.  A parent that wrote its logs as root would follow whatever link stands in their folder; the
 * folder belongs to the user that an intruder would be. */
#include "main/main_user.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/base_log.h"
#include "base/base_parse.h"
#include "main/main_sandbox.h"

/* --- who ----------------------------------------------------------------------------------------- */

/* Containers often have numbers without names. */
static bool user_number(const char *text, uint32_t *number)
{
    uint64_t value;
    if (!parse_u64(span_of(text), &value) || value >= UINT32_MAX)
        return false;
    *number = (uint32_t)value;
    return true;
}

static const char *user_find_group(struct main_user *user, const char *name, char why[512])
{
    const struct group *group = getgrnam(name);
    uint32_t number;
    if (group != NULL) {
        user->gid = group->gr_gid;
    } else if (user_number(name, &number)) {
        user->gid = number;
    } else {
        snprintf(why, 512, "there is no group \"%s\": make it (groupadd), or change \"user\"",
                 name);
        return why;
    }
    return NULL;
}

const char *main_user_find(struct main_user *user, struct span text, bool is_sandboxed,
                           char why[512])
{
    char name[MAIN_USER_NAME_BYTES];
    uint32_t number = 0;
    *user = (struct main_user){.is_bare = is_sandboxed && geteuid() == 0};
    if (text.len == 0 || text.len >= sizeof(name))
        return NULL;
    memcpy(name, text.ptr, text.len);
    name[text.len] = '\0';
    memcpy(user->name, name, text.len + 1);
    char *group = strchr(name, ':');
    user->has_group = group != NULL;
    if (group != NULL)
        *group++ = '\0';
    const struct passwd *passwd = getpwnam(name);
    bool is_number = passwd == NULL && user_number(name, &number);
    if (is_number)
        passwd = getpwuid(number);
    if (passwd == NULL && !(is_number && group != NULL)) {
        snprintf(why, 512,
                 is_number ? "user %s has no entry in passwd, so a group is needed: \"%s:GROUP\""
                           : "there is no user \"%s\": make it (useradd --system %s), or change "
                             "\"user\"",
                 name, name);
        return why;
    }
    user->uid = passwd == NULL ? number : passwd->pw_uid;
    user->gid = passwd == NULL ? 0 : passwd->pw_gid;
    user->is_other = geteuid() == 0 && user->uid != 0;
    user->is_bare = user->is_bare && !user->is_other;
    return group == NULL ? NULL : user_find_group(user, group, why);
}

bool main_user_is_missing(const struct main_user *user)
{
    return user->name[0] == '\0' && geteuid() == 0;
}

/* --- the parent ---------------------------------------------------------------------------------- */

static bool user_switch(const struct main_user *user)
{
    return setegid(user->gid) == 0 && seteuid(user->uid) == 0;
}

static bool user_switch_back(void)
{
    return seteuid(0) == 0 && setegid(getgid()) == 0;
}

const char *main_user_prepare(const struct main_user *user, char why[512])
{
    bool is_we = user->uid == geteuid() && (!user->has_group || user->gid == getegid());
    if (user->name[0] == '\0' || is_we || (geteuid() == 0 && !user->is_other))
        return NULL;
    if (geteuid() != 0) {
        snprintf(
            why, 512,
            "\"user\" is %s, and only root can change to it: start the service as root%s%s, or "
            "take \"user\" out of the configuration (this is user %u, group %u)",
            user->name, user->uid == 0 ? "" : " or as ", user->uid == 0 ? "" : user->name,
            (unsigned)geteuid(), (unsigned)getegid());
        return why;
    }
    if (setgroups(0, NULL) == 0 && user_switch(user) && user_switch_back())
        return NULL;
    snprintf(why, 512,
             "cannot change to user %s: %s (root needs CAP_SETUID and CAP_SETGID; a container may "
             "have to be given them)",
             user->name, strerror(errno));
    return why;
}

/* What main_user_prepare has done succeeds again, or something is very wrong: better to end than to write as root. */
void main_user_assume(const struct main_user *user)
{
    if (user->is_other && !user_switch(user))
        abort();
}

void main_user_resume(const struct main_user *user)
{
    if (!user->is_other)
        return;
    int error = errno;
    if (!user_switch_back())
        abort();
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* the kernel has taken that away meanwhile */
    errno = error;
}

bool main_user_assume_child(const struct main_user *user)
{
    main_user_assume(user);
    /* Where that is not allowed the child keeps them too, and the trial shows what it will find. */
    return user->is_bare && main_sandbox_set_effective(false);
}

void main_user_resume_child(const struct main_user *user, bool was_bared)
{
    int error = errno;
    if (was_bared && !main_sandbox_set_effective(true)) {
        log_error("the capabilities of root cannot be had again: %s", strerror(errno));
        abort();
    }
    errno = error;
    main_user_resume(user);
}

/* The folder may be writable for others: the file is looked at before it is given, and cannot be exchanged in between. */
static bool user_own_socket(const struct main_user *user, const struct main_socket *socket)
{
    const struct sockaddr_un *sun = (const struct sockaddr_un *)&socket->address.sockaddr;
    struct stat info;
    int fd = open(sun->sun_path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    bool is_ours = fd >= 0 && fstat(fd, &info) == 0 && info.st_dev == socket->dev &&
                   info.st_ino == socket->ino && S_ISSOCK(info.st_mode) && info.st_nlink == 1;
    bool is_given = is_ours && fchownat(fd, "", user->uid, user->gid, AT_EMPTY_PATH) == 0;
    int error = is_ours || fd < 0 ? errno : ESTALE;
    if (fd >= 0)
        close(fd);
    errno = error;
    return is_given;
}

void main_user_own_sockets(const struct main_user *user, const struct main_sockets *sockets)
{
    for (unsigned i = 0; user->is_other && i < sockets->count; i++) {
        const struct main_socket *socket = &sockets->list[i];
        if (!socket->address.is_unix || socket->is_kept || socket->ino == 0)
            continue;
        if (!user_own_socket(user, socket))
            log_warn("%s stays root's: %s",
                     ((const struct sockaddr_un *)&socket->address.sockaddr)->sun_path,
                     strerror(errno));
    }
}

/* --- the child ----------------------------------------------------------------------------------- */

/* A pipe or terminal that root has opened cannot be opened by others, and the log does not want to block on one that is shared
 * (loop_log_out.c): so each gets a description of its own, while that can be had. */
static void user_own_standard(int standard)
{
    char path[32];
    struct stat info;
    if (fstat(standard, &info) != 0 || !(S_ISFIFO(info.st_mode) || S_ISCHR(info.st_mode)))
        return;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", standard);
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    (void)dup2(fd, standard);
    close(fd);
}

/* Asked of the kernel, whatever the calls before have answered. */
static bool user_is_final(const struct main_user *user)
{
    uid_t uid, euid, suid;
    gid_t gid, egid, sgid;
    if (getresuid(&uid, &euid, &suid) != 0 || getresgid(&gid, &egid, &sgid) != 0)
        return false;
    bool is_user = uid == user->uid && euid == user->uid && suid == user->uid;
    bool is_group = gid == user->gid && egid == user->gid && sgid == user->gid;
    bool is_root_again = setresuid(0, 0, 0) == 0 || seteuid(0) == 0 ||
                         (user->gid != 0 && (setresgid(0, 0, 0) == 0 || setegid(0) == 0)) ||
                         setgroups(1, &user->gid) == 0;
    errno = EPERM;
    return is_user && is_group && !is_root_again && getgroups(0, NULL) == 0;
}

bool main_user_become(const struct main_user *user, bool is_traceable)
{
    if (!user->is_other)
        return true;
    user_own_standard(STDOUT_FILENO);
    user_own_standard(STDERR_FILENO);
    if (setgroups(0, NULL) != 0 || setresgid(user->gid, user->gid, user->gid) != 0 ||
        setresuid(user->uid, user->uid, user->uid) != 0 || !main_sandbox_drop_capabilities() ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return false;
    if (is_traceable)
        (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    return user_is_final(user);
}
