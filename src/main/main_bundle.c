/* SPDX-License-Identifier: Apache-2.0 */
/* main_bundle.c - see main_bundle.h.  Takes: paths.  Gives: bytes.  Never judges them. */
#include "main/main_bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_hash.h"

#define BUNDLE_FILE_MAX   ((size_t)16 << 20)
#define BUNDLE_SECRET_MAX ((size_t)1 << 20)
#define BUNDLE_FILES_MAX  1024u

struct bundle_head {
    uint32_t name_len, text_len;
};

const char *main_bundle_default_path(void)
{
    return access("/etc/sluice/sluice.json", F_OK) == 0 ? "/etc/sluice/sluice.json"
                                                        : "conf/sluice.json";
}

/* The whole file, malloc'ed; errno when it cannot be had. */
static char *bundle_slurp(const char *path, size_t max, size_t *len)
{
    struct stat info;
    char *text = NULL;
    ssize_t n = 0;
    int error = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    *len = 0;
    if (fstat(fd, &info) != 0)
        error = errno;
    else if (S_ISDIR(info.st_mode))
        error = EISDIR;
    else if ((text = malloc(max + 1)) == NULL)
        error = ENOMEM;
    while (error == 0 && *len <= max && (n = read(fd, text + *len, max + 1 - *len)) != 0) {
        if (n > 0)
            *len += (size_t)n;
        else if (errno != EINTR)
            error = errno;
    }
    if (error == 0 && *len > max)
        error = EFBIG;
    close(fd);
    if (error != 0) {
        free(text);
        errno = error;
        return NULL;
    }
    char *fitted = realloc(text, *len + 1);
    return fitted == NULL ? text : fitted;
}

static bool bundle_add(struct main_bundle *bundle, struct span name, char *text, size_t len)
{
    struct plan_file *files = NULL;
    char *copy = malloc(name.len + 1);
    if (copy != NULL && bundle->count < BUNDLE_FILES_MAX)
        files = realloc(bundle->files, (bundle->count + 1) * sizeof(*files));
    if (files == NULL) {
        free(copy);
        return false;
    }
    memcpy(copy, name.ptr, name.len);
    copy[name.len] = '\0';
    bundle->files = files;
    files[bundle->count++] = (struct plan_file){.name = {copy, name.len}, .text = {text, len}};
    return true;
}

bool main_bundle_read(struct main_bundle *bundle, const char *path, char why[256])
{
    size_t len;
    *bundle = (struct main_bundle){0};
    char *text = bundle_slurp(path, BUNDLE_FILE_MAX, &len);
    if (text == NULL) {
        snprintf(why, 256, "%.180s cannot be read: %s", path, strerror(errno));
        return false;
    }
    if (!bundle_add(bundle, span_of(path), text, len)) {
        free(text);
        snprintf(why, 256, "out of memory");
        return false;
    }
    return true;
}

void main_bundle_fini(struct main_bundle *bundle)
{
    for (unsigned i = 0; i < bundle->count; i++) {
        char *text = (char *)(uintptr_t)bundle->files[i].text.ptr;
        if (text != NULL)
            explicit_bzero(text, bundle->files[i].text.len);
        free(text);
        free((char *)(uintptr_t)bundle->files[i].name.ptr);
    }
    free(bundle->files);
    *bundle = (struct main_bundle){0};
}

/* Secrets lie in $CREDENTIALS_DIRECTORY when systemd gives one, else beside the configuration. */
static bool bundle_secret_path(const struct main_bundle *bundle, struct span name,
                               char path[PATH_MAX])
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    struct span base = bundle->files[0].name;
    int len;
    while (base.len > 0 && base.ptr[base.len - 1] != '/')
        base.len--;
    if (name.len > 0 && name.ptr[0] == '/')
        len = snprintf(path, PATH_MAX, "%.*s", (int)name.len, name.ptr);
    else if (folder != NULL && folder[0] != '\0')
        len = snprintf(path, PATH_MAX, "%s/%.*s", folder, (int)name.len, name.ptr);
    else
        len =
            snprintf(path, PATH_MAX, "%.*s%.*s", (int)base.len, base.ptr, (int)name.len, name.ptr);
    return len < PATH_MAX && memchr(name.ptr, '\0', name.len) == NULL;
}

bool main_bundle_fetch(void *arg, struct span name, struct span *text, char why[256])
{
    struct main_bundle *bundle = arg;
    char path[PATH_MAX];
    size_t len;
    for (unsigned i = 1; i < bundle->count; i++) {
        if (span_eq(bundle->files[i].name, name)) {
            *text = bundle->files[i].text;
            return true;
        }
    }
    if (bundle->is_sealed || !bundle_secret_path(bundle, name, path)) {
        snprintf(why, 256, "the file is not at hand");
        return false;
    }
    char *bytes = bundle_slurp(path, BUNDLE_SECRET_MAX, &len);
    if (bytes == NULL || !bundle_add(bundle, name, bytes, len)) {
        snprintf(why, 256, "%.180s cannot be read: %s", path, strerror(errno));
        free(bytes);
        return false;
    }
    *text = bundle->files[bundle->count - 1].text;
    return true;
}

static bool bundle_write(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len > 0) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

int main_bundle_pack(const struct main_bundle *bundle)
{
    int fd = memfd_create("sluice-configuration", MFD_CLOEXEC);
    if (fd < 0)
        return -1;
    for (unsigned i = 0; i < bundle->count; i++) {
        const struct plan_file *file = &bundle->files[i];
        struct bundle_head head = {(uint32_t)file->name.len, (uint32_t)file->text.len};
        if (!bundle_write(fd, &head, sizeof(head)) ||
            !bundle_write(fd, file->name.ptr, file->name.len) ||
            !bundle_write(fd, file->text.ptr, file->text.len)) {
            int error = errno;
            close(fd);
            errno = error;
            return -1;
        }
    }
    return fd;
}

static bool bundle_pread(int fd, off_t at, void *bytes, size_t len)
{
    return pread(fd, bytes, len, at) == (ssize_t)len;
}

enum err main_bundle_unpack(struct main_bundle *bundle, int fd)
{
    struct bundle_head head;
    off_t at = 0;
    *bundle = (struct main_bundle){.is_sealed = true};
    while (bundle_pread(fd, at, &head, sizeof(head))) {
        char *name = malloc((size_t)head.name_len + 1), *text = malloc((size_t)head.text_len + 1);
        at += (off_t)sizeof(head);
        bool is_good = name != NULL && text != NULL && bundle_pread(fd, at, name, head.name_len) &&
                       bundle_pread(fd, at + head.name_len, text, head.text_len) &&
                       bundle_add(bundle, (struct span){name, head.name_len}, text, head.text_len);
        free(name);
        if (!is_good) {
            free(text);
            main_bundle_fini(bundle);
            return ERR_NOMEM;
        }
        at += (off_t)head.name_len + head.text_len;
    }
    return bundle->count > 0 ? ERR_OK : ERR_INVALID;
}

uint64_t main_bundle_hash(const struct main_bundle *bundle)
{
    const struct hash_key key = {0, 0};
    return hash_sip64(key, bundle->files[0].text.ptr, bundle->files[0].text.len);
}
