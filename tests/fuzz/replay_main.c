/* SPDX-License-Identifier: Apache-2.0 */
/* replay_main.c - runs a fuzz target over files and the files of directories, without a fuzzer.  For
 * the corpora in ctest, and for looking at one input. */
#include <dirent.h>
#include <sys/stat.h>

#include "fuzz.h"

#define PATH_MAX_BYTES 4096
#define INPUT_MAX      (1U << 20)

static unsigned replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    uint8_t *bytes = malloc(INPUT_MAX);
    FUZZ_CHECK(bytes != NULL);
    size_t len = fread(bytes, 1, INPUT_MAX, file);
    fclose(file);
    uint8_t *exact = (uint8_t *)fuzz_copy(bytes, len);
    free(bytes);
    (void)LLVMFuzzerTestOneInput(exact, len);
    free(exact);
    return 1;
}

static unsigned replay(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
        return replay_file(path);

    DIR *dir = opendir(path);
    if (dir == NULL) {
        perror(path);
        exit(2);
    }
    unsigned count = 0;
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        char inner[PATH_MAX_BYTES];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
        count += replay_file(inner);
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    for (int i = 1; i < argc; i++)
        count += replay(argv[i]);
    printf("%u inputs\n", count);
    return count != 0 ? 0 : 2;
}
