// SPDX-License-Identifier: Apache-2.0
// singleflight.conf(5), from the table of options.
#include "cli/option_table.h"

static const char head[] =
    ".\\\" Made from the option table in client/cli; do not edit.\n"
    ".TH SINGLEFLIGHT.CONF 5 2026-12-01 \"singleflight %s\" \"File Formats\"\n"
    ".SH NAME\nsingleflight.conf \\- where the tool singleflight finds its server\n"
    ".SH SYNOPSIS\n\\fI/etc/singleflight.conf\\fR\n"
    ".SH DESCRIPTION\n"
    "What this file says holds for every invocation of\n\\fBsingleflight\\fR(1)\n"
    "on the machine, from a shell, from cron and from systemd.\n"
    "For each setting an option of the command line comes first, then the variable of\n"
    "the environment, then this file.\n"
    "The client libraries do not read it; they take the same variables.\n"
    ".PP\n"
    "A line is \\fIname\\fR = \\fIvalue\\fR; there are no sections.\n"
    "A line that begins with ; or # is a comment.\n"
    "A name that is no setting, a setting without a value or one that stands there\n"
    "twice end every invocation with code 78, and one line that says where.\n"
    "\\fBSINGLEFLIGHT_CONFIG\\fR names another file, which has to be there.\n"
    ".SH SETTINGS\n";

static const char tail[] = ".SH EXAMPLES\n"
                           "Two servers, each of which is home to half of the keys, over TLS:\n"
                           ".PP\n.nf\n.RS\n"
                           "address = a.example.net:7433, b.example.net:7433\n"
                           "tls\\-ca = system\n"
                           "token\\-file = /etc/singleflight/token\n"
                           ".RE\n.fi\n"
                           ".SH SEE ALSO\n"
                           "\\fBsingleflight\\fR(1), \\fBsingleflightd\\fR(8)\n";

void sfl_cli_write_config_man_page(FILE *out)
{
    fprintf(out, head, singleflight_version());
    for (size_t i = 0; i < sfl_cli_option_count; i++) {
        const struct sfl_cli_option *option = &sfl_cli_option_table[i];
        if (option->variable == NULL)
            continue;
        fprintf(out, ".TP\n\\fB");
        sfl_cli_write_troff(out, option->name);
        fprintf(out, "\\fR = \\fI%s\\fR\n", option->argument);
        sfl_cli_write_troff(out, option->help);
        fputc('\n', out);
    }
    fprintf(out, tail);
}
