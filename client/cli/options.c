// SPDX-License-Identifier: Apache-2.0
#include "cli/options.h"

#include "base/duration.h"
#include "base/nearest.h"
#include "base/version.h"
#include "cli/exit_code.h"
#include "cli/memory.h"
#include "cli/option_table.h"
#include "cli/settings_file.h"

#include <assert.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 64

// getopt_long returns this plus the row's place.
#define LONG_OPTION 256

struct parser {
    const struct sfl_cli_subcommand *subcommand;
    struct sfl_cli_options *options;
    FILE *out;
    FILE *err;
    int exit_code; // when there is nothing more to do
};

static bool complain(struct parser *parser, const char *what, const char *name, const char *why)
{
    fprintf(parser->err, "singleflight %s: %s%s %s; see singleflight %s --help\n",
            parser->subcommand->name, what, name, why, parser->subcommand->name);
    parser->exit_code = SFL_CLI_EXIT_USAGE;
    return false;
}

static bool complain_choice(struct parser *parser, const struct sfl_cli_option *option,
                            const char *why)
{
    char text[96];
    snprintf(text, sizeof(text), "%s %s", why, option->argument);
    return complain(parser, "--", option->name, text);
}

// Names no option that the subcommand has not.
static _Thread_local const struct sfl_cli_subcommand *named_for;

static const char *name_at(size_t place)
{
    const struct sfl_cli_option *option = &sfl_cli_option_table[place];
    return sfl_cli_option_belongs(option, named_for) ? option->name : NULL;
}

static bool complain_unknown(struct parser *parser, const char *given)
{
    char text[96];
    const char *meant = NULL;
    named_for = parser->subcommand;
    if (strncmp(given, "--", 2) == 0)
        meant = sfl_nearest(given + 2, strcspn(given + 2, "="), name_at, sfl_cli_option_count);
    if (meant == NULL)
        return complain(parser, "", given, "is not an option here");
    snprintf(text, sizeof(text), "is not an option here (is --%s meant?)", meant);
    return complain(parser, "", given, text);
}

static const char *parse_number(const char *text, uint64_t *number_out)
{
    if (text[0] == '\0' || strspn(text, "0123456789") != strlen(text) || strlen(text) > 18)
        return "must be a whole number";
    *number_out = strtoull(text, NULL, 10);
    return NULL;
}

// `words` are separated by "|".
static const char *parse_choice(const char *text, const char *words, uint64_t *choice_out)
{
    size_t length = strlen(text);
    uint64_t choice = 0;
    for (const char *word = words; *word != '\0'; choice++) {
        size_t word_length = strcspn(word, "|");
        if (word_length == length && memcmp(word, text, length) == 0) {
            *choice_out = choice;
            return NULL;
        }
        word += word_length + (word[word_length] == '|');
    }
    return "must be one of";
}

// The problem with the value, or NULL when it was stored.
static const char *store_number(const struct sfl_cli_option *option, const char *text,
                                uint64_t *field)
{
    uint64_t number = 0;
    const char *problem = NULL;
    if (option->type == SFL_CLI_OPTION_DURATION) {
        if (sfl_duration_parse(text, &number, &problem) != SFL_OK)
            return problem;
    } else if (option->type == SFL_CLI_OPTION_SIZE) {
        if (sfl_size_parse(text, &number, &problem) != SFL_OK)
            return problem;
    } else if (option->type == SFL_CLI_OPTION_CHOICE) {
        problem = parse_choice(text, option->argument, &number);
    } else {
        problem = parse_number(text, &number);
    }
    if (problem != NULL)
        return problem;
    if (option->max != 0 && number > option->max)
        return "is too large";
    if (number < option->min)
        return "is too small";
    *field = number;
    return NULL;
}

// One address, or several with commas between them, as in the environment: blanks do not count.
static const char *store_address(struct sfl_cli_options *options, const char *text)
{
    for (;;) {
        text += strspn(text, " \t");
        size_t all = strcspn(text, ",");
        size_t length = all;
        while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
            length--;
        if (length == 0)
            return "must not be empty";
        if (options->address_count == SFL_CLI_ADDRESSES_MAX)
            return "is given too often";
        char *address = sfl_cli_allocate(length + 1);
        memcpy(address, text, length);
        options->addresses[options->address_count++] = address;
        if (text[all] == '\0')
            return NULL;
        text += all + 1;
    }
}

const char *sfl_cli_store(struct sfl_cli_options *options, const struct sfl_cli_option *option,
                          const char *text)
{
    char *field = (char *)options + option->offset;
    switch (option->type) {
    case SFL_CLI_OPTION_FLAG:
        *(bool *)field = true;
        return NULL;
    case SFL_CLI_OPTION_TEXT:
        *(const char **)field = text;
        return NULL;
    case SFL_CLI_OPTION_ADDRESS:
        return store_address(options, text);
    case SFL_CLI_OPTION_DURATION:
    case SFL_CLI_OPTION_SIZE:
    case SFL_CLI_OPTION_NUMBER:
    case SFL_CLI_OPTION_CHOICE:
        return store_number(option, text, (uint64_t *)field);
    case SFL_CLI_OPTION_HELP:
        return NULL;
    }
    return NULL;
}

static void set_defaults(const struct sfl_cli_subcommand *subcommand,
                         struct sfl_cli_options *options)
{
    memset(options, 0, sizeof(*options));
    options->command = subcommand->bit;
    options->retained_code = UINT64_MAX;
    for (size_t i = 0; i < sfl_cli_option_count; i++) {
        const struct sfl_cli_option *option = &sfl_cli_option_table[i];
        if (option->fallback == NULL || option->fallback[0] == '\0')
            continue;
        const char *problem = sfl_cli_store(options, option, option->fallback);
        assert(problem == NULL);
        (void)problem;
    }
}

// The tables that getopt_long wants, out of ours.
struct getopt_tables {
    struct option longs[OPTIONS_MAX + 1];
    char shorts[2 * OPTIONS_MAX + 2];
};

static void make_getopt_tables(const struct sfl_cli_subcommand *subcommand,
                               struct getopt_tables *tables)
{
    assert(sfl_cli_option_count <= OPTIONS_MAX);
    memset(tables, 0, sizeof(*tables));
    size_t longs = 0;
    size_t shorts = 0;
    tables->shorts[shorts++] = ':'; // errors are ours to tell
    for (size_t i = 0; i < sfl_cli_option_count; i++) {
        const struct sfl_cli_option *option = &sfl_cli_option_table[i];
        if (!sfl_cli_option_belongs(option, subcommand))
            continue;
        int has_argument = option->argument == NULL ? no_argument : required_argument;
        tables->longs[longs++] =
            (struct option){option->name, has_argument, NULL, LONG_OPTION + (int)i};
        if (option->letter == '\0')
            continue;
        tables->shorts[shorts++] = option->letter;
        if (option->argument != NULL)
            tables->shorts[shorts++] = ':';
    }
}

static const struct sfl_cli_option *find_by_letter(int letter)
{
    for (size_t i = 0; i < sfl_cli_option_count; i++) {
        if (sfl_cli_option_table[i].letter == (char)letter)
            return &sfl_cli_option_table[i];
    }
    return NULL;
}

// The options of argv[1] to argv[argc - 1]. False: nothing more to do.
static bool parse_options(struct parser *parser, int argc, char *argv[])
{
    struct getopt_tables tables;
    make_getopt_tables(parser->subcommand, &tables);
    opterr = 0;
    optind = 0; // start anew, also after an earlier use
    for (;;) {
        int found = getopt_long(argc, argv, tables.shorts, tables.longs, NULL);
        if (found == -1)
            return true;
        const char *given = optind > 0 && optind <= argc ? argv[optind - 1] : "";
        if (found == '?')
            return complain_unknown(parser, given);
        if (found == ':')
            return complain(parser, "", given, "needs a value");
        const struct sfl_cli_option *option = found >= LONG_OPTION
                                                  ? &sfl_cli_option_table[found - LONG_OPTION]
                                                  : find_by_letter(found);
        assert(option != NULL);
        if (option->type == SFL_CLI_OPTION_HELP) {
            sfl_cli_write_subcommand_help(parser->out, parser->subcommand);
            parser->exit_code = SFL_CLI_EXIT_OK;
            return false;
        }
        const char *problem = sfl_cli_store(parser->options, option, optarg);
        if (problem != NULL && option->type == SFL_CLI_OPTION_CHOICE)
            return complain_choice(parser, option, problem);
        if (problem != NULL)
            return complain(parser, "--", option->name, problem);
    }
}

// Pairs of options that cannot both be meant.
static const char *find_contradiction(const struct sfl_cli_options *options)
{
    const struct {
        bool is_given;
        const char *names;
    } pairs[] = {
        {options->follow_only && options->skip_if_running, "--follow-only and --skip-if-running"},
        {options->follow_only && options->fresh, "--follow-only and --fresh"},
        {options->follow_only && options->replace, "--follow-only and --replace"},
        {options->follow_only && options->prints == SFL_CLI_PRINTS_LEADER,
         "--follow-only and --output leader"},
        {options->skip_if_running && options->replace, "--skip-if-running and --replace"},
        {options->every_ms != 0 && options->max_age_ms != 0, "--every and --max-age"},
        {options->stale_ms != 0 && options->fresh, "--stale and --fresh"},
        {options->stale_ms != 0 && options->replace, "--stale and --replace"},
        {options->stale_ms != 0 && options->follow_only, "--stale and --follow-only"},
        {options->stale_ms != 0 && options->skip_if_running, "--stale and --skip-if-running"},
        {options->hold && options->on_leader_loss == SINGLEFLIGHT_LEADER_LOSS_FAIL,
         "--hold and --on-leader-loss fail"},
        {sfl_cli_holds(options) && options->pass_on_error, "--hold and --pass-on-error"},
        {options->command == SFL_CLI_RUNS && options->key != NULL && options->prefix != NULL,
         "a key and --prefix"},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (pairs[i].is_given)
            return pairs[i].names;
    }
    return NULL;
}

static bool check(struct parser *parser)
{
    struct sfl_cli_options *options = parser->options;
    if (options->command == SFL_CLI_DO && options->argv == NULL && !options->follow_only)
        return complain(parser, "", "the command", "is missing (KEY -- COMMAND)");
    const char *contradiction = find_contradiction(options);
    if (contradiction != NULL)
        return complain(parser, "", contradiction, "contradict each other");
    if (options->every_ms != 0 && (options->retain_ms != 0 || options->retain_error_ms != 0))
        return complain(parser, "", "--every",
                        "keeps the outcome itself: it goes without --retain and --retain-error");
    if (options->stale_ms != 0 && options->max_age_ms == 0)
        return complain(parser, "", "--stale", "needs --max-age: what is older than that is stale");
    if (options->fingerprint != NULL && options->fingerprint[0] == '\0')
        return complain(parser, "", "--fingerprint",
                        "must not be empty (none shares the key on purpose)");
    if (options->fingerprint != NULL && strlen(options->fingerprint) > SFL_CLI_FINGERPRINT_MAX)
        return complain(parser, "", "--fingerprint", "is longer than 64 bytes");
    return true;
}

static bool takes_key(const struct sfl_cli_subcommand *subcommand)
{
    return (subcommand->bit &
            (SFL_CLI_DO | SFL_CLI_FORGET | SFL_CLI_STOP | SFL_CLI_RUNS | SFL_CLI_TOKEN)) != 0;
}

// What stands between the options: the key, or nothing.
static bool take_key(struct parser *parser, int count, char *const words[])
{
    if (!takes_key(parser->subcommand)) {
        return count == 0 || complain(parser, "", words[0], "is one word too many");
    }
    if (count == 0 && parser->subcommand->bit == SFL_CLI_RUNS)
        return true;
    if (count == 0 || words[0][0] == '\0')
        return complain(parser, "",
                        parser->subcommand->bit == SFL_CLI_TOKEN ? "the name" : "the key",
                        "is missing");
    if (count > 1)
        return complain(parser, "", words[1],
                        parser->subcommand->bit == SFL_CLI_DO
                            ? "is one word too many: \"--\" goes before the command"
                            : "is one word too many");
    parser->options->key = words[0];
    return true;
}

static int find_mark(int argc, char *argv[])
{
    int mark = 1;
    while (mark < argc && strcmp(argv[mark], "--") != 0)
        mark++;
    return mark;
}

// `argv[0]` is the subcommand's name.
static bool parse_subcommand(struct parser *parser, int argc, char *argv[])
{
    bool runs = parser->subcommand->bit == SFL_CLI_DO;
    int mark = runs ? find_mark(argc, argv) : argc;
    set_defaults(parser->subcommand, parser->options);
    if (!parse_options(parser, mark, argv))
        return false;
    int first = optind;
    // A key that may begin with "-" has a mark of its own before it: do -- KEY -- COMMAND.
    if (runs && first == mark && mark + 1 < argc) {
        first = mark + 1;
        mark = first + 1;
        bool ends = mark == argc && parser->options->follow_only;
        if (!ends && (mark == argc || strcmp(argv[mark], "--") != 0))
            return complain(parser, "", "the key", "is missing (KEY -- COMMAND)");
    }
    if (!take_key(parser, mark - first, argv + first))
        return false;
    if (mark + 1 < argc)
        parser->options->argv = argv + mark + 1;
    return check(parser);
}

static const struct sfl_cli_subcommand *find_subcommand(const char *name)
{
    for (size_t i = 0; i < sfl_cli_subcommand_count; i++) {
        if (strcmp(sfl_cli_subcommand_table[i].name, name) == 0)
            return &sfl_cli_subcommand_table[i];
    }
    return NULL;
}

static void write_version(FILE *out)
{
    fprintf(out, "singleflight %s (git %s)\n", singleflight_version(), sfl_revision());
    fprintf(out, "gRPC %s\n", sfl_grpc_version());
}

// Prints what `word` asks for, if it is no subcommand. False: it asks for nothing of that kind.
static bool print_asked(const char *word, const char *argument, FILE *out)
{
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        write_version(out);
    else if (strcmp(word, "--print-man-page") == 0)
        sfl_cli_write_man_page(out);
    else if (strcmp(word, "--print-config-man-page") == 0)
        sfl_cli_write_config_man_page(out);
    else if (strcmp(word, "--print-completion") == 0 && strcmp(argument, "bash") == 0)
        sfl_cli_write_bash_completion(out);
    else if (strcmp(word, "--print-completion") == 0 && strcmp(argument, "zsh") == 0)
        sfl_cli_write_zsh_completion(out);
    else if (strcmp(word, "--print-completion") == 0)
        fprintf(out, "--print-completion takes bash or zsh\n");
    else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0)
        sfl_cli_write_help(out);
    else
        return false;
    return true;
}

bool sfl_cli_parse(int argc, char *argv[], FILE *out, FILE *err,
                   struct sfl_cli_options *options_out, int *exit_code_out)
{
    const char *word = argc < 2 ? "" : argv[1];
    if (print_asked(word, argc < 3 ? "" : argv[2], out)) {
        *exit_code_out = SFL_CLI_EXIT_OK;
        return false;
    }
    const struct sfl_cli_subcommand *subcommand = find_subcommand(word);
    if (subcommand == NULL) {
        fprintf(err, "singleflight: %s%s; see singleflight --help\n",
                argc < 2 ? "say what to do, such as do" : "there is no subcommand ", word);
        *exit_code_out = SFL_CLI_EXIT_USAGE;
        return false;
    }
    struct parser parser = {
        .subcommand = subcommand, .options = options_out, .out = out, .err = err};
    if (!parse_subcommand(&parser, argc - 1, argv + 1)) {
        *exit_code_out = parser.exit_code;
        return false;
    }
    bool asks_server = subcommand->bit != SFL_CLI_TOKEN;
    if (!asks_server || sfl_cli_read_settings(options_out, err))
        return true;
    *exit_code_out = SFL_CLI_EXIT_CONFIG;
    return false;
}

void sfl_cli_options_deinit(struct sfl_cli_options *options)
{
    for (size_t i = 0; i < options->address_count; i++)
        free((char *)options->addresses[i]);
    options->address_count = 0;
    for (size_t i = 0; i < SFL_CLI_SETTINGS_MAX; i++) {
        free(options->from_file[i]);
        options->from_file[i] = NULL;
    }
}
