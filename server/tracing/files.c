// SPDX-License-Identifier: Apache-2.0
#include "tracing/files.h"

#include <stdio.h>
#include <stdlib.h>

enum { FILE_BYTES_MAX = 1024 * 1024 };

enum sfl_status sfl_tracing_read_file(const char *path, char **text_out)
{
    *text_out = NULL;
    if (path == NULL)
        return SFL_OK;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return SFL_INVALID_ARGUMENT;
    char *text = malloc(FILE_BYTES_MAX);
    size_t size = text == NULL ? 0 : fread(text, 1, FILE_BYTES_MAX, file);
    enum sfl_status status = text == NULL ? SFL_NO_MEMORY : SFL_OK;
    if (status == SFL_OK && (size == FILE_BYTES_MAX || ferror(file) != 0))
        status = SFL_INVALID_ARGUMENT;
    fclose(file);
    if (status != SFL_OK) {
        free(text);
        return status;
    }
    text[size] = '\0';
    *text_out = text;
    return SFL_OK;
}
