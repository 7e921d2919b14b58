// SPDX-License-Identifier: Apache-2.0
// main() of a fuzzer in a build without libFuzzer: plays every file of the folders that it is
// given.
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void play_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    size_t size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(size + 1);
    if (bytes == NULL || fread(bytes, 1, size, file) != size) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    fclose(file);
    printf("%s\n", path);
    fflush(stdout); // so that the last line names the file that stopped it
    LLVMFuzzerTestOneInput(bytes, size);
    free(bytes);
}

static unsigned play_folder(const char *folder)
{
    char path[4096];
    unsigned played = 0;
    DIR *listing = opendir(folder);
    if (listing == NULL) {
        perror(folder);
        exit(EXIT_FAILURE);
    }
    struct dirent *entry;
    while ((entry = readdir(listing)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        play_file(path);
        played++;
    }
    closedir(listing);
    return played;
}

int main(int argc, char **argv)
{
    unsigned played = 0;
    for (int i = 1; i < argc; i++)
        played += play_folder(argv[i]);
    printf("%u inputs played\n", played);
    return played > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
