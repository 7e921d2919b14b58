// SPDX-License-Identifier: Apache-2.0
// --help and the man page, both from the tables.
#include "cli/exit_code.h"
#include "cli/option_table.h"

#include <ctype.h>
#include <string.h>

#define COLUMNS 80
#define HELP_INDENT 6

static const struct {
    int code;
    const char *text;
} exit_codes[] = {
#define EXIT_ROW(name, code, text) {(code), (text)},
    SFL_CLI_EXIT_LIST(EXIT_ROW)
#undef EXIT_ROW
};

static const struct {
    const char *what;
    const char *line;
} examples[] = {
    {"The same line in the crontab of every node: it runs once, and nobody runs it again within "
     "ten "
     "minutes, whether it succeeded or failed.",
     "0 3 * * * singleflight do -q --every 10m nightly -- make-report"},
    {"Run it now by hand, although an outcome is retained.",
     "singleflight do --fresh nightly -- make-report"},
    {"The same with one mail: only the node that ran it prints.",
     "0 3 * * * singleflight do --output leader --once --every 10m nightly -- make-report"},
    {"Wait at most a minute for somebody else's run.",
     "singleflight do --wait 1m sync -- sync-files"},
    {"Skip, with success, when it runs already.",
     "singleflight do --skip-if-running --skip-code 0 sync -- sync-files"},
    {"Watch from another terminal, from the first line on.",
     "singleflight do --follow-only nightly"},
    {"Try one node after the other until one succeeds.",
     "singleflight do --pass-on-error backup -- backup-database"},
    {"Pay once: a worker that dies is not replaced, and nobody tries again for a week.",
     "singleflight do --hold --retain 7d --retain-error 7d invoice-4711 -- pay 4711"},
    {"Answer at once with what is at most an hour old, and renew it when it is older than a "
     "minute.",
     "singleflight do --retain 1h --max-age 1m --stale 1h prices -- fetch-prices"},
    {"Run in any case, when no server is there.",
     "singleflight do --fail-open warm -- warm-caches"},
    {"Who runs what.", "singleflight list"},
    {"End what runs, on whatever node.", "singleflight stop nightly"},
    {"Who ran it last night, how long it took, and how it ended.",
     "singleflight runs --since 12h nightly"},
};

static const char exit_intro[] =
    "singleflight do exits with the exit code of the command, whoever ran it, and with 128 plus "
    "the number of the signal that ended it. The codes of the tool's own are:";

// Writes words so that no line is longer than COLUMNS; a newline in the text begins a paragraph.
static void write_wrapped(FILE *out, const char *text, size_t indent)
{
    size_t column = 0;
    while (*text != '\0') {
        if (*text == '\n') {
            fputc('\n', out);
            column = 0;
            text++;
            continue;
        }
        if (*text == ' ') {
            text++;
            continue;
        }
        size_t length = strcspn(text, " \n");
        if (column != 0 && column + 1 + length > COLUMNS) {
            fputc('\n', out);
            column = 0;
        }
        column +=
            column == 0 ? (size_t)fprintf(out, "%*s", (int)indent, "") : (size_t)fprintf(out, " ");
        column += fwrite(text, 1, length, out);
        text += length;
    }
    fputc('\n', out);
}

static void write_option(FILE *out, const struct sfl_cli_option *option)
{
    fprintf(out, "  ");
    if (option->letter != '\0')
        fprintf(out, "-%c, ", option->letter);
    fprintf(out, "--%s%s%s", option->name, option->argument == NULL ? "" : " ",
            option->argument == NULL ? "" : option->argument);
    if (option->fallback != NULL && option->fallback[0] != '\0')
        fprintf(out, "  (default: %s)", option->fallback);
    fputc('\n', out);
    write_wrapped(out, option->help, HELP_INDENT);
}

static void write_usage(FILE *out, const struct sfl_cli_subcommand *subcommand)
{
    fprintf(out, "singleflight %s [option...]%s%s", subcommand->name,
            subcommand->arguments[0] == '\0' ? "" : " ", subcommand->arguments);
}

static void write_exit_codes(FILE *out)
{
    fprintf(out, "\nExit codes:\n");
    write_wrapped(out, exit_intro, 2);
    for (size_t i = 0; i < sizeof(exit_codes) / sizeof(exit_codes[0]); i++) {
        fprintf(out, "  %d\n", exit_codes[i].code);
        write_wrapped(out, exit_codes[i].text, HELP_INDENT);
    }
}

void sfl_cli_write_subcommand_help(FILE *out, const struct sfl_cli_subcommand *subcommand)
{
    fprintf(out, "Usage: ");
    write_usage(out, subcommand);
    fprintf(out, "\n\n");
    write_wrapped(out, subcommand->help, 0);
    fprintf(out, "\nOptions (times as 500ms, 2s, 10m, 1h, 7d; sizes as 4096, 64MiB):\n");
    for (size_t i = 0; i < sfl_cli_option_count; i++) {
        if (sfl_cli_option_belongs(&sfl_cli_option_table[i], subcommand))
            write_option(out, &sfl_cli_option_table[i]);
    }
    if (subcommand->bit == SFL_CLI_DO)
        write_exit_codes(out);
}

void sfl_cli_write_help(FILE *out)
{
    fprintf(out, "Usage: singleflight SUBCOMMAND [option...]\n\n");
    write_wrapped(out,
                  "Of many that ask for the same piece of work at the same time, one does it, and "
                  "all get what it made. Needs a singleflightd to talk to.",
                  0);
    fprintf(out, "\nSubcommands (each has its own --help):\n");
    for (size_t i = 0; i < sfl_cli_subcommand_count; i++)
        fprintf(out, "  %-8s %s\n", sfl_cli_subcommand_table[i].name,
                sfl_cli_subcommand_table[i].summary);
    fprintf(out, "\nOptions:\n  --help            print this help and exit\n"
                 "  --print-man-page  print the manual page and exit\n"
                 "  --print-config-man-page\n"
                 "                    print that of /etc/singleflight.conf and exit\n"
                 "  --print-completion bash|zsh\n"
                 "                    print the completion of that shell and exit\n"
                 "  -V, --version     print the version and exit\n");
    write_exit_codes(out);
}

// Troff reads "-" as a hyphen, "\\" as a command, and "." or "'" at the start of a line as a macro.
// Lines are broken at spaces: a source line should not be longer than COLUMNS.
void sfl_cli_write_troff(FILE *out, const char *text)
{
    size_t column = 0;
    for (; *text != '\0'; text++) {
        size_t word = *text == ' ' ? strcspn(text + 1, " \n") : 0;
        bool breaks = *text == '\n' || column + word + 12 > COLUMNS;
        if (breaks && *text == '\n')
            fputs("\n.PP", out);
        if (breaks && (*text == '\n' || *text == ' ')) {
            fputc('\n', out);
            column = 0;
            continue;
        }
        if (column == 0 && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        if (*text == '-')
            fputs("\\-", out);
        else if (*text == '\\')
            fputs("\\e", out);
        else
            fputc(*text, out);
        column++;
    }
}

static void write_man_option(FILE *out, const struct sfl_cli_option *option)
{
    fprintf(out, ".TP\n");
    if (option->letter != '\0')
        fprintf(out, "\\fB\\-%c\\fR, ", option->letter);
    fprintf(out, "\\fB\\-\\-");
    sfl_cli_write_troff(out, option->name);
    fprintf(out, "\\fR");
    if (option->argument != NULL) {
        fprintf(out, " \\fI");
        sfl_cli_write_troff(out, option->argument);
        fprintf(out, "\\fR");
    }
    fputc('\n', out);
    sfl_cli_write_troff(out, option->help);
    if (option->fallback != NULL && option->fallback[0] != '\0') {
        fprintf(out, "\nDefault: ");
        sfl_cli_write_troff(out, option->fallback);
        fputc('.', out);
    }
    fputc('\n', out);
}

static void write_man_subcommand(FILE *out, const struct sfl_cli_subcommand *subcommand,
                                 unsigned commands_left_out)
{
    fprintf(out, ".SS singleflight %s\n", subcommand->name);
    sfl_cli_write_troff(out, subcommand->help);
    fputc('\n', out);
    for (size_t i = 0; i < sfl_cli_option_count; i++) {
        const struct sfl_cli_option *option = &sfl_cli_option_table[i];
        bool is_common = (option->commands & commands_left_out) == commands_left_out;
        if (sfl_cli_option_belongs(option, subcommand) && !is_common)
            write_man_option(out, option);
    }
}

static void write_man_synopsis(FILE *out)
{
    fprintf(out, ".SH SYNOPSIS\n");
    for (size_t i = 0; i < sfl_cli_subcommand_count; i++) {
        const struct sfl_cli_subcommand *subcommand = &sfl_cli_subcommand_table[i];
        fprintf(out, "%s\\fBsingleflight %s\\fR [\\fIoption\\fR...]", i == 0 ? "" : ".br\n",
                subcommand->name);
        if (subcommand->arguments[0] != '\0')
            fputc(' ', out);
        sfl_cli_write_troff(out, subcommand->arguments);
        fputc('\n', out);
    }
}

void sfl_cli_write_man_page(FILE *out)
{
    fprintf(out,
            ".\\\" Made from the option table in client/cli; do not edit.\n"
            ".TH SINGLEFLIGHT 1 2026-11-23 \"singleflight %s\" \"User Commands\"\n"
            ".SH NAME\nsingleflight \\- run a command once, however many ask for it\n",
            singleflight_version());
    write_man_synopsis(out);
    fprintf(out, ".SH DESCRIPTION\nTimes are written as 500ms, 2s, 10m, 1h or 7d, sizes as 4096 or "
                 "64MiB.\n");
    unsigned all = SFL_CLI_COMMANDS_OF_KEYS;
    for (size_t i = 0; i < sfl_cli_subcommand_count; i++)
        write_man_subcommand(out, &sfl_cli_subcommand_table[i], all);
    fprintf(out,
            ".SS Common options\n"
            "Health asks about no key, and has no \\fB\\-\\-group\\fR; token asks no server.\n");
    for (size_t i = 0; i < sfl_cli_option_count; i++) {
        if ((sfl_cli_option_table[i].commands & all) == all)
            write_man_option(out, &sfl_cli_option_table[i]);
    }
    fprintf(out, ".SH EXIT STATUS\n");
    sfl_cli_write_troff(out, exit_intro);
    fputc('\n', out);
    for (size_t i = 0; i < sizeof(exit_codes) / sizeof(exit_codes[0]); i++) {
        fprintf(out, ".TP\n\\fB%d\\fR\n", exit_codes[i].code);
        sfl_cli_write_troff(out, exit_codes[i].text);
        fputc('\n', out);
    }
    fprintf(out, ".SH ENVIRONMENT\n.TP\n\\fBSINGLEFLIGHT_ADDRESS\\fR\n"
                 "Servers, comma separated, when there is no \\fB\\-\\-address\\fR.\n"
                 ".TP\n\\fBSINGLEFLIGHT_TLS_CA\\fR, \\fBSINGLEFLIGHT_TLS_CERT\\fR, "
                 "\\fBSINGLEFLIGHT_TLS_KEY\\fR, \\fBSINGLEFLIGHT_TLS_SERVER_NAME\\fR, "
                 "\\fBSINGLEFLIGHT_TOKEN_FILE\\fR\n"
                 "What the options of these names say, when they are not given.\n"
                 ".TP\n\\fBSINGLEFLIGHT_CONFIG\\fR\n"
                 "The settings file, instead of /etc/singleflight.conf.\n"
                 ".TP\n\\fBTRACEPARENT\\fR\n"
                 "The W3C trace context that the call belongs to.\n"
                 ".TP\n\\fBSINGLEFLIGHT_TOKEN\\fR, \\fBSINGLEFLIGHT_KEY\\fR, "
                 "\\fBSINGLEFLIGHT_GROUP\\fR, \\fBSINGLEFLIGHT_ATTEMPT\\fR\n"
                 "Set for the command: its fencing token, its key, its group, and the attempt\n"
                 "(1 for the first leader).\n");
    fprintf(out, ".SH FILES\n.TP\n\\fI/etc/singleflight.conf\\fR\n"
                 "Addresses, certificates and token for everybody on this machine, where neither\n"
                 "option nor environment says them: \\fBsingleflight.conf\\fR(5).\n");
    fprintf(out, ".SH EXAMPLES\n");
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        fprintf(out, "%s", i == 0 ? "" : ".PP\n");
        sfl_cli_write_troff(out, examples[i].what);
        fprintf(out, "\n.PP\n.nf\n.RS\n");
        sfl_cli_write_troff(out, examples[i].line);
        fprintf(out, "\n.RE\n.fi\n");
    }
    fprintf(out, ".SH SEE ALSO\n\\fBsingleflight.conf\\fR(5), \\fBsingleflightd\\fR(8)\n");
}
