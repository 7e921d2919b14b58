// SPDX-License-Identifier: Apache-2.0
// The manual page, in mdoc(7): a macro at the beginning of a line, one sentence a line.
#include "base/version.h"
#include "config/command_line.h"
#include "config/print.h"

#include <stdbool.h>
#include <string.h>

#define WIDTH 78

// Lines of text: nothing in them may be taken for a macro, a sentence ends its line, and long ones
// are broken.
static void print_text(const char *text, FILE *out)
{
    size_t column = 0;
    for (; *text != '\0'; text++) {
        size_t word = strcspn(text + 1, " ");
        bool breaks = *text == ' ' && (text[-1] == '.' || column + word >= WIDTH);
        if (column == 0 && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        if (breaks)
            fputc('\n', out);
        else if (*text == '\\')
            fputs("\\e", out);
        else
            fputc(*text, out);
        column = breaks ? 0 : column + 1;
    }
    fputc('\n', out);
}

static void print_head(FILE *out)
{
    fputs(".Dd November 23, 2026\n"
          ".Dt SINGLEFLIGHTD 8\n"
          ".Os\n"
          ".Sh NAME\n"
          ".Nm singleflightd\n"
          ".Nd singleflight across processes, machines and languages\n"
          ".Sh SYNOPSIS\n"
          ".Nm\n"
          ".Op Fl Fl config Ar FILE\n"
          ".Op Fl Fl Ns Ar NAME Ar VALUE ...\n"
          ".Sh DESCRIPTION\n"
          ".Nm\n"
          "lets callers that ask for the same key at the same time share one execution\n"
          "and its outcome: one of them leads and runs the function, the others follow\n"
          "and wait.\n"
          "It serves the gRPC services of the package\n"
          ".Li singleflight.v1 ,\n"
          "with health checks and reflection beside them.\n"
          ".Pp\n"
          "Once it listens, it prints one line for each address to standard output:\n"
          ".Dl singleflightd listening on 127.0.0.1:7433\n"
          "Log lines go to standard error.\n"
          ".Pp\n"
          "On SIGTERM or SIGINT it drains: health checks say NOT_SERVING, new callers are\n"
          "refused as UNAVAILABLE, and running flights may end within\n"
          ".Fl Fl drain-time .\n",
          out);
}

static void print_command_flags(FILE *out)
{
    fputs(".Sh OPTIONS\n"
          "These are no settings:\n"
          ".Bl -tag -width Ds\n",
          out);
    for (size_t i = 0; i < sfl_command_flag_count; i++) {
        const struct sfl_command_flag *flag = &sfl_command_flags[i];
        fprintf(out, ".It Fl Fl %s", flag->name);
        if (flag->argument != NULL)
            fprintf(out, " Ar %s", flag->argument);
        if (flag->letter != 0)
            fprintf(out, " , Fl %c", flag->letter);
        fputc('\n', out);
        print_text(flag->help, out);
    }
    fputs(".El\n", out);
}

static void print_setting(const struct sfl_setting *setting, FILE *out)
{
    char bounds[SFL_BOUNDS_TEXT_MAX];
    char text[SFL_BOUNDS_TEXT_MAX + 16];
    sfl_setting_describe_bounds(setting, bounds);
    const char *between = setting->type == SFL_SETTING_SWITCH ? "Ns Op = Ns Ar" : "Ar";
    fprintf(out, ".It Fl Fl %s %s %s\n", setting->name, between, setting->argument);
    print_text(setting->help, out);
    if (setting->type == SFL_SETTING_TEXT_LIST)
        fputs("It may be given several times, or with commas.\n", out);
    if (bounds[0] != '\0') {
        snprintf(text, sizeof(text), "It takes %s.", bounds);
        print_text(text, out);
    }
    fprintf(out, "The default is %s.\n", setting->fallback[0] == '\0' ? "none" : setting->fallback);
}

static void print_settings(FILE *out)
{
    fputs(".Sh SETTINGS\n"
          "Times are whole numbers with ms, s, m, h or d.\n"
          "Sizes are bytes, or whole numbers with KiB, MiB, GiB or TiB.\n",
          out);
    for (size_t i = 0; i < sfl_setting_count; i++) {
        const struct sfl_setting *setting = &sfl_setting_table[i];
        bool first = i == 0 || strcmp(setting->group, sfl_setting_table[i - 1].group) != 0;
        bool last = i + 1 == sfl_setting_count ||
                    strcmp(setting->group, sfl_setting_table[i + 1].group) != 0;
        if (first)
            fprintf(out, ".Ss %s\n.Bl -tag -width Ds\n", setting->group);
        print_setting(setting, out);
        if (last)
            fputs(".El\n", out);
    }
}

static void print_tail(FILE *out)
{
    fputs(".Sh ENVIRONMENT\n"
          "Every setting has a variable: its name in capitals, with _ for -, after\n"
          ".Ev SINGLEFLIGHTD_ .\n"
          ".Ev SINGLEFLIGHTD_DRAIN_TIME\n"
          "is\n"
          ".Fl Fl drain-time .\n"
          "An empty variable counts as not set.\n"
          ".Ev SINGLEFLIGHTD_CONFIG\n"
          "names the config file.\n"
          "Flags come before the environment, the environment before the file.\n"
          ".Sh FILES\n"
          "The config file has one line\n"
          ".Ql name = value\n"
          "for each setting, with the names of the flags.\n"
          "A line that begins with ; or # is a comment.\n"
          ".Fl Fl print-sample-config\n"
          "prints one with all settings.\n"
          ".Sh EXIT STATUS\n"
          ".Bl -tag -width Ds\n"
          ".It 0\n"
          "It has drained, or printed what it was asked for.\n"
          ".It 64\n"
          "A flag does not exist, or cannot have its value.\n"
          ".It 78\n"
          "The environment or the config file is wrong, or settings clash.\n"
          ".It other\n"
          "It could not start, or failed; the last log line says why.\n"
          ".El\n"
          ".Sh EXAMPLES\n"
          "Serve on one port of this machine:\n"
          ".Dl singleflightd --listen 127.0.0.1:7433\n"
          ".Pp\n"
          "See what would hold, and where it comes from:\n"
          ".Dl singleflightd --config singleflightd.conf --check-config\n"
          ".Sh SEE ALSO\n"
          ".Xr singleflight 1\n",
          out);
}

void sfl_print_man_page(FILE *out)
{
    fprintf(out, ".\\\" Written by singleflightd %s --print-man-page; edit its table instead.\n",
            sfl_version());
    print_head(out);
    print_command_flags(out);
    print_settings(out);
    print_tail(out);
}
