// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // F_OFD_SETLK, fallocate
#include "store/file.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/layout.h"
#include "store/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FORMAT = 3,
    FORMAT_MAX = 100, // what a newer version may come to; beyond it is damage
    TABLES_MAX = SFL_FILE_TABLES + 2,
    PROBE_BYTES = 1 << 20,
    // When the map grows, it grows by half, and by so much at least.
    GROWTH_BYTES_MIN = 64 << 20,
    CARRIED_BYTES_MAX = 4 << 20, // of format 1, in one transaction
};

// The tables, and the numbers in "meta". "format" is a bare number, as it was in format 1, so that
// a daemon of that time can say what it does not know. It reads tables by the order of their names,
// and has to come to "meta" first.
#define META "meta"         // name -> number
#define RETAINED "retained" // token -> record, of format 1
static const char *const table_names[SFL_FILE_TABLES] = {
    [SFL_FILE_OUTCOMES] = "outcomes",
    [SFL_FILE_LEADS] = "orphans", // what each of them is after a start
    [SFL_FILE_RUNS] = "runs",
};
#define NAME_FORMAT "format"
#define NAME_TOKENS "tokens"
// The number of the transaction that wrote the file last. It stands in the file's head too; when
// the two differ, the head is of another state than the rest.
#define NAME_TRANSACTION "transaction"

struct sfl_file {
    const char *directory; // borrowed while it is opened
    char *path;            // of data.mdb
    int fd;                // holds the lock
    MDB_env *environment;
    MDB_dbi tables[SFL_FILE_TABLES];
    MDB_dbi meta;
    MDB_txn *txn; // NULL between transactions
    bool has_changed;
    uint64_t map_bytes;
    struct sfl_store_counts counts;
};

// What the check has found out.
struct contents {
    uint64_t format; // 0: none
    bool has_tokens;
    uint64_t tokens;
    uint64_t transaction;
};

// --- the check before the opening ---

static bool is_named(struct sfl_span span, const char *name)
{
    return sfl_span_equal(span, sfl_span_of_text(name));
}

// SFL_FILE_TABLES when it is none of them.
static enum sfl_file_table table_of(struct sfl_span name)
{
    unsigned table = 0;
    while (table < SFL_FILE_TABLES && !is_named(name, table_names[table]))
        table++;
    return (enum sfl_file_table)table;
}

static bool has_number_keys(struct sfl_span table)
{
    return table_of(table) != SFL_FILE_TABLES || is_named(table, RETAINED);
}

static const char *check_record(enum sfl_file_table table, uint64_t key, struct sfl_span bytes)
{
    union {
        struct sfl_record outcome;
        struct sfl_lead_record lead;
        struct sfl_run run;
    } record;
    switch (table) {
    case SFL_FILE_OUTCOMES:
        return sfl_record_read(key, bytes, &record.outcome);
    case SFL_FILE_LEADS:
        return sfl_record_read_lead(key, bytes, &record.lead);
    case SFL_FILE_RUNS:
        return sfl_record_read_run(key, bytes, &record.run);
    case SFL_FILE_TABLES: // the only one beside them that is let through
        return sfl_record_read_1(key, bytes, &record.outcome);
    }
    return NULL;
}

static const char *check_number(struct contents *contents, struct sfl_span name,
                                struct sfl_span data)
{
    if (is_named(name, NAME_FORMAT)) {
        if (data.size != sizeof(contents->format))
            return "has no format";
        memcpy(&contents->format, data.data, sizeof(contents->format));
        return contents->format > FORMAT ? "is of a newer format" : NULL;
    }
    bool is_bare = contents->format == 1 && data.size == sizeof(contents->tokens);
    if (is_named(name, NAME_TOKENS)) {
        contents->has_tokens = true;
        if (is_bare)
            memcpy(&contents->tokens, data.data, sizeof(contents->tokens));
        else if (!sfl_number_read(NAME_TOKENS, data, &contents->tokens))
            return "has a number whose checksum is wrong";
    }
    if (is_named(name, NAME_TRANSACTION) &&
        !sfl_number_read(NAME_TRANSACTION, data, &contents->transaction))
        return "has a number whose checksum is wrong";
    return NULL;
}

static const char *check_entry(void *context, struct sfl_span table, struct sfl_span key,
                               struct sfl_span data)
{
    uint64_t number;
    if (is_named(table, META))
        return check_number(context, key, data);
    if (!has_number_keys(table))
        return "has a table of another program";
    memcpy(&number, key.data, sizeof(number));
    return check_record(table_of(table), number, data);
}

static enum sfl_status say_damaged(const struct sfl_file *file, const char *what, char *error_out)
{
    snprintf(error_out, SFL_FILE_ERROR_MAX,
             "%s: damaged (%s); nothing of it is used. To start without the leads, retained "
             "outcomes and greatest token that it holds, move it away; tokens then begin with the "
             "clock's microseconds",
             file->path, what);
    return SFL_FAILED_PRECONDITION;
}

static enum sfl_status say_newer(const struct sfl_file *file, uint64_t format, char *error_out)
{
    snprintf(error_out, SFL_FILE_ERROR_MAX,
             "%s: of format %" PRIu64 ", which a newer version made; this one knows formats up to "
             "%d. Start that version again, or move the file away",
             file->path, format, FORMAT);
    return SFL_FAILED_PRECONDITION;
}

static enum sfl_status check_bytes(const struct sfl_file *file, struct sfl_span bytes,
                                   struct contents *contents_out, char *error_out)
{
    const struct sfl_layout_visitor visitor = {has_number_keys, check_entry, contents_out};
    struct sfl_layout layout;
    bool is_good = sfl_layout_check(bytes, &visitor, &layout);
    if (contents_out->format > FORMAT && contents_out->format <= FORMAT_MAX)
        return say_newer(file, contents_out->format, error_out);
    if (!is_good)
        return say_damaged(file, layout.fault, error_out);
    if (layout.transaction > 0 && !contents_out->has_tokens)
        return say_damaged(file, "it has no format or no tokens", error_out);
    if (contents_out->format > 1 && contents_out->transaction != layout.transaction)
        return say_damaged(file, "its head is of another state than its pages", error_out);
    return SFL_OK;
}

static enum sfl_status say_errno(const char *path, char *error_out)
{
    snprintf(error_out, SFL_FILE_ERROR_MAX, "%s: %s", path, strerror(errno));
    return SFL_UNAVAILABLE;
}

// Checks what is there; an empty file is a new one.
static enum sfl_status check_file(const struct sfl_file *file, struct contents *contents_out,
                                  char *error_out)
{
    struct stat stat;
    if (fstat(file->fd, &stat) != 0)
        return say_errno(file->path, error_out);
    if (stat.st_size == 0)
        return SFL_OK;
    size_t size = (size_t)stat.st_size;
    void *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, file->fd, 0);
    if (bytes == MAP_FAILED)
        return say_errno(file->path, error_out);
    (void)madvise(bytes, size, MADV_WILLNEED);
    enum sfl_status status = check_bytes(file, sfl_span_of(bytes, size), contents_out, error_out);
    munmap(bytes, size);
    return status;
}

// --- opening ---

static int put_bytes(struct sfl_file *file, const char *name, const void *bytes, size_t size)
{
    MDB_val key = {strlen(name), (void *)name};
    MDB_val data = {size, (void *)bytes};
    return mdb_put(file->txn, file->meta, &key, &data, 0);
}

static int put_number(struct sfl_file *file, const char *name, uint64_t value)
{
    struct sfl_number number = sfl_number_of(name, value);
    return put_bytes(file, name, &number, sizeof(number));
}

static int open_environment(struct sfl_file *file)
{
    int code = mdb_env_create(&file->environment);
    if (code != 0)
        return code;
    code = mdb_env_set_maxdbs(file->environment, TABLES_MAX);
    if (code == 0)
        code = mdb_env_set_mapsize(file->environment, file->map_bytes);
    if (code == 0)
        code = mdb_env_open(file->environment, file->directory, MDB_NOTLS, 0600);
    return code;
}

static int open_tables(struct sfl_file *file)
{
    int code = mdb_dbi_open(file->txn, META, MDB_CREATE, &file->meta);
    for (unsigned i = 0; i < SFL_FILE_TABLES && code == 0; i++)
        code =
            mdb_dbi_open(file->txn, table_names[i], MDB_CREATE | MDB_INTEGERKEY, &file->tables[i]);
    return code;
}

// Gives the file its format.
static int prepare(struct sfl_file *file, void *context)
{
    const struct contents *contents = context;
    uint64_t format = FORMAT;
    int code = open_tables(file);
    if (code != 0 || contents->format == FORMAT)
        return code;
    file->has_changed = true;
    code = put_bytes(file, NAME_FORMAT, &format, sizeof(format));
    return code != 0 ? code : put_number(file, NAME_TOKENS, contents->tokens);
}

// Moves one record of format 1, and says how large it was.
static int carry_record(struct sfl_file *file, MDB_cursor *cursor, MDB_val key, MDB_val data,
                        size_t *bytes_out)
{
    struct sfl_record record;
    uint64_t token;
    memcpy(&token, key.mv_data, sizeof(token));
    if (sfl_record_read_1(token, sfl_span_of(data.mv_data, data.mv_size), &record) != NULL)
        return MDB_CORRUPTED; // it has been read before
    // A copy, for what LMDB shows may move when something is written.
    MDB_val copy = {sfl_record_copy_size(&record), NULL};
    copy.mv_data = malloc(copy.mv_size);
    if (copy.mv_data == NULL)
        return ENOMEM;
    sfl_record_copy(copy.mv_data, &record);
    MDB_val copied_key = {sizeof(token), &token};
    int code = mdb_put(file->txn, file->tables[SFL_FILE_OUTCOMES], &copied_key, &copy, 0);
    if (code == 0)
        code = mdb_cursor_del(cursor, 0);
    *bytes_out = copy.mv_size;
    free(copy.mv_data);
    return code;
}

// Moves some records of format 1. MDB_NOTFOUND after the last one.
static int carry_some(struct sfl_file *file, MDB_dbi retained)
{
    MDB_cursor *cursor;
    int code = mdb_cursor_open(file->txn, retained, &cursor);
    if (code != 0)
        return code;
    size_t carried = 0;
    MDB_val key;
    MDB_val data;
    while (carried < CARRIED_BYTES_MAX &&
           (code = mdb_cursor_get(cursor, &key, &data, MDB_FIRST)) == 0) {
        size_t bytes = 0;
        code = carry_record(file, cursor, key, data, &bytes);
        if (code != 0)
            break;
        carried += bytes;
    }
    mdb_cursor_close(cursor);
    return code;
}

// One transaction of the carrying over. The flag is set when nothing is left of format 1.
static int carry_step(struct sfl_file *file, void *context)
{
    bool *is_done = context;
    MDB_dbi retained;
    int code = mdb_dbi_open(file->txn, RETAINED, MDB_INTEGERKEY, &retained);
    *is_done = code == MDB_NOTFOUND;
    if (*is_done)
        return 0;
    file->has_changed = true;
    if (code == 0)
        code = carry_some(file, retained);
    return code == MDB_NOTFOUND ? mdb_drop(file->txn, retained, 1) : code;
}

static int carry_over(struct sfl_file *file)
{
    bool is_done = false;
    int code = 0;
    while (!is_done && code == 0)
        code = sfl_file_write(file, carry_step, &is_done);
    return code;
}

// Two daemons on one file would grant the same tokens, so it is locked while it is open.
static enum sfl_status lock(struct sfl_file *file, char *error_out)
{
    file->fd = open(file->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file->fd < 0)
        return say_errno(file->path, error_out);
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(file->fd, F_OFD_SETLK, &whole) == 0)
        return SFL_OK;
    if (errno != EAGAIN && errno != EACCES)
        return say_errno(file->path, error_out);
    snprintf(error_out, SFL_FILE_ERROR_MAX, "%s: in use by another process", file->directory);
    return SFL_UNAVAILABLE;
}

static enum sfl_status open_locked(struct sfl_file *file, uint64_t *tokens_out, char *error_out)
{
    struct contents contents = {0};
    struct stat before;
    enum sfl_status status = check_file(file, &contents, error_out);
    if (status != SFL_OK)
        return status;
    if (fstat(file->fd, &before) != 0)
        return say_errno(file->path, error_out);
    int code = open_environment(file);
    if (code == 0)
        code = sfl_file_write(file, prepare, &contents);
    if (code == 0)
        code = carry_over(file);
    if (code != 0) {
        snprintf(error_out, SFL_FILE_ERROR_MAX, "%s: %s", file->path, sfl_file_reason(file, code));
        // A new file that got no further than a part of its head would look damaged.
        if (before.st_size == 0 && ftruncate(file->fd, 0) != 0)
            return say_errno(file->path, error_out);
        return SFL_UNAVAILABLE;
    }
    *tokens_out = contents.tokens;
    return SFL_OK;
}

static enum sfl_status open_directory(struct sfl_file *file, uint64_t *tokens_out, char *error_out)
{
    if (mkdir(file->directory, 0700) != 0 && errno != EEXIST)
        return say_errno(file->directory, error_out);
    enum sfl_status status = lock(file, error_out);
    return status == SFL_OK ? open_locked(file, tokens_out, error_out) : status;
}

enum sfl_status sfl_file_open(const char *directory, uint64_t map_bytes, struct sfl_file **file_out,
                              uint64_t *tokens_out, char error_out[static SFL_FILE_ERROR_MAX])
{
    snprintf(error_out, SFL_FILE_ERROR_MAX, "%s: out of memory", directory);
    struct sfl_file *file = calloc(1, sizeof(*file));
    if (file == NULL)
        return SFL_NO_MEMORY;
    file->fd = -1;
    file->map_bytes = map_bytes;
    enum sfl_status status = SFL_NO_MEMORY;
    char *copy = strdup(directory);
    file->directory = copy;
    if (copy != NULL && asprintf(&file->path, "%s/data.mdb", directory) >= 0)
        status = open_directory(file, tokens_out, error_out);
    else
        file->path = NULL;
    if (status != SFL_OK) {
        sfl_file_close(file);
        return status;
    }
    *file_out = file;
    return SFL_OK;
}

void sfl_file_close(struct sfl_file *file)
{
    assert(file->txn == NULL);
    if (file->environment != NULL)
        mdb_env_close(file->environment);
    if (file->fd >= 0)
        close(file->fd);
    free(file->path);
    free((void *)file->directory);
    free(file);
}

// --- changes ---

int sfl_file_put(struct sfl_file *file, enum sfl_file_table table,
                 const struct sfl_record_start *start, const uint8_t *beginning)
{
    uint64_t number = start->key;
    MDB_val key = {sizeof(number), &number};
    MDB_val data = {sfl_record_size(start), NULL};
    file->has_changed = true;
    int code = mdb_put(file->txn, file->tables[table], &key, &data, MDB_RESERVE);
    if (code == 0)
        sfl_record_write(data.mv_data, start, beginning);
    return code;
}

int sfl_file_delete(struct sfl_file *file, enum sfl_file_table table, uint64_t key)
{
    MDB_val key_val = {sizeof(key), &key};
    int code = mdb_del(file->txn, file->tables[table], &key_val, NULL);
    if (code == MDB_NOTFOUND)
        return 0;
    file->has_changed = true;
    return code;
}

int sfl_file_put_tokens(struct sfl_file *file, uint64_t tokens)
{
    file->has_changed = true;
    return put_number(file, NAME_TOKENS, tokens);
}

// --- transactions ---

static int begin(struct sfl_file *file)
{
    file->has_changed = false;
    if (file->environment == NULL)
        return MDB_PANIC; // it could not be opened anew
    return mdb_txn_begin(file->environment, NULL, 0, &file->txn);
}

static int end(struct sfl_file *file, int code)
{
    if (code == 0 && file->has_changed)
        code = put_number(file, NAME_TRANSACTION, mdb_txn_id(file->txn));
    // Tables that were opened stay open only with a commit.
    if (code == 0)
        code = mdb_txn_commit(file->txn);
    else
        mdb_txn_abort(file->txn);
    file->txn = NULL;
    return code;
}

static bool mend(struct sfl_file *file, int code);

int sfl_file_write(struct sfl_file *file, int (*change)(struct sfl_file *file, void *context),
                   void *context)
{
    uint64_t begun_ns = sfl_clock_now_ns();
    int code;
    do {
        code = begin(file);
        if (code == 0)
            code = end(file, change(file, context));
    } while (code != 0 && mend(file, code));
    sfl_histogram_add(&file->counts.write_us, &sfl_bounds_us,
                      (sfl_clock_now_ns() - begun_ns) / 1000);
    file->counts.failures += code != 0;
    return code;
}

const struct sfl_store_counts *sfl_file_counts(const struct sfl_file *file)
{
    return &file->counts;
}

// --- trouble ---

static bool grow_map(struct sfl_file *file)
{
    uint64_t more = file->map_bytes / 2;
    uint64_t map_bytes = file->map_bytes + (more > GROWTH_BYTES_MIN ? more : GROWTH_BYTES_MIN);
    int code = mdb_env_set_mapsize(file->environment, map_bytes);
    if (code != 0) {
        sfl_log(SFL_LOG_ERROR, "data_map_not_grown", SFL_U64("bytes", map_bytes),
                SFL_STR("error", mdb_strerror(code)));
        return false;
    }
    sfl_log(SFL_LOG_INFO, "data_map_grown", SFL_U64("bytes", map_bytes));
    file->map_bytes = map_bytes;
    return true;
}

// LMDB goes no further when it could not write its head. The head on disk is the one before then.
static bool reopen(struct sfl_file *file)
{
    if (file->environment != NULL)
        mdb_env_close(file->environment);
    file->environment = NULL;
    int code = open_environment(file);
    if (code == 0)
        code = begin(file);
    if (code == 0)
        code = end(file, open_tables(file));
    if (code == 0)
        return true;
    sfl_log(SFL_LOG_ERROR, "data_not_reopened", SFL_STR("error", mdb_strerror(code)));
    if (file->environment != NULL)
        mdb_env_close(file->environment);
    file->environment = NULL;
    return false;
}

// Between transactions: makes room in the map if that was too small, opens LMDB anew if it refuses
// to go on. True when trying again may help.
static bool mend(struct sfl_file *file, int code)
{
    if (code == MDB_MAP_FULL)
        return grow_map(file);
    return code == MDB_PANIC && reopen(file);
}

const char *sfl_file_reason(struct sfl_file *file, int code)
{
    struct stat stat;
    if (code != EIO || fstat(file->fd, &stat) != 0)
        return mdb_strerror(code);
    if (fallocate(file->fd, FALLOC_FL_KEEP_SIZE, stat.st_size, PROBE_BYTES) != 0 &&
        errno != EOPNOTSUPP && errno != ENOSYS)
        return strerror(errno);
    return mdb_strerror(code);
}

// --- reading ---

bool sfl_file_lacks(struct sfl_file *file, enum sfl_file_table table, uint64_t key)
{
    MDB_txn *txn;
    MDB_val data;
    MDB_val key_val = {sizeof(key), &key};
    // When LMDB could not write its head, it begins nothing, and nobody knows which head is there.
    if (file->environment == NULL || mdb_txn_begin(file->environment, NULL, MDB_RDONLY, &txn) != 0)
        return false;
    int code = mdb_get(txn, file->tables[table], &key_val, &data);
    mdb_txn_abort(txn);
    return code == MDB_NOTFOUND;
}

static int read_all(MDB_cursor *cursor,
                    const char *(*visit)(void *context, uint64_t key, struct sfl_span bytes),
                    void *context)
{
    MDB_val key;
    MDB_val data;
    int code = mdb_cursor_get(cursor, &key, &data, MDB_LAST);
    for (; code == 0; code = mdb_cursor_get(cursor, &key, &data, MDB_PREV)) {
        uint64_t number;
        memcpy(&number, key.mv_data, sizeof(number));
        if (visit(context, number, sfl_span_of(data.mv_data, data.mv_size)) != NULL)
            return MDB_CORRUPTED;
    }
    return code == MDB_NOTFOUND ? 0 : code;
}

enum sfl_status sfl_file_read(struct sfl_file *file, enum sfl_file_table table,
                              const char *(*visit)(void *context, uint64_t key,
                                                   struct sfl_span bytes),
                              void *context)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    if (mdb_txn_begin(file->environment, NULL, MDB_RDONLY, &txn) != 0)
        return SFL_UNAVAILABLE;
    int code = mdb_cursor_open(txn, file->tables[table], &cursor);
    if (code == 0) {
        code = read_all(cursor, visit, context);
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return code == 0 ? SFL_OK : SFL_UNAVAILABLE;
}
