// SPDX-License-Identifier: Apache-2.0
// Completion for bash and zsh, from the tables.
#include "cli/option_table.h"

#include <stdio.h>
#include <string.h>

static void write_bash_options(FILE *out, const struct sfl_cli_subcommand *subcommand)
{
    fprintf(out, "    %s) options=\"", subcommand->name);
    const char *space = "";
    for (size_t i = 0; i < sfl_cli_option_count; i++) {
        if (!sfl_cli_option_belongs(&sfl_cli_option_table[i], subcommand))
            continue;
        fprintf(out, "%s--%s", space, sfl_cli_option_table[i].name);
        space = " ";
    }
    fprintf(out, "\" ;;\n");
}

static bool takes_file(const struct sfl_cli_option *option)
{
    return option->argument != NULL && strcmp(option->argument, "FILE") == 0;
}

// After an option that takes a file come files.
static void write_bash_files(FILE *out)
{
    fprintf(out, "    case ${COMP_WORDS[COMP_CWORD - 1]} in\n    ");
    const char *bar = "";
    for (size_t i = 0; i < sfl_cli_option_count; i++) {
        if (!takes_file(&sfl_cli_option_table[i]))
            continue;
        fprintf(out, "%s--%s", bar, sfl_cli_option_table[i].name);
        bar = " | ";
    }
    fprintf(out, ")\n"
                 "        mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
                 "        return ;;\n"
                 "    esac\n");
}

void sfl_cli_write_bash_completion(FILE *out)
{
    fprintf(out, "# bash completion for singleflight; made from its option table.\n"
                 "_singleflight() {\n"
                 "    local word=${COMP_WORDS[COMP_CWORD]} options=\"\" i\n"
                 "    if ((COMP_CWORD == 1)); then\n"
                 "        options=\"--help --version");
    for (size_t i = 0; i < sfl_cli_subcommand_count; i++)
        fprintf(out, " %s", sfl_cli_subcommand_table[i].name);
    fprintf(out, "\"\n"
                 "        mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\")\n"
                 "        return\n"
                 "    fi\n"
                 "    for ((i = 2; i < COMP_CWORD; i++)); do\n"
                 "        [[ ${COMP_WORDS[i]} == -- ]] || continue\n"
                 "        if ((i + 1 == COMP_CWORD)); then\n"
                 "            mapfile -t COMPREPLY < <(compgen -c -- \"$word\")\n"
                 "        else\n"
                 "            mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
                 "        fi\n"
                 "        return\n"
                 "    done\n");
    write_bash_files(out);
    fprintf(out, "    case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; i < sfl_cli_subcommand_count; i++)
        write_bash_options(out, &sfl_cli_subcommand_table[i]);
    fprintf(out, "    esac\n"
                 "    mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\")\n"
                 "}\n"
                 "complete -F _singleflight singleflight\n");
}

// The first sentence of a text, within single quotes and brackets of zsh.
static void write_zsh_text(FILE *out, const char *text)
{
    for (; *text != '\0' && !(text[0] == '.' && (text[1] == ' ' || text[1] == '\0')); text++) {
        if (*text == '\'')
            fputs("'\\''", out);
        else if (strchr("[]:\\", *text) != NULL)
            fprintf(out, "\\%c", *text);
        else
            fputc(*text, out);
    }
}

static void write_zsh_option(FILE *out, const struct sfl_cli_option *option)
{
    bool repeats = option->type == SFL_CLI_OPTION_ADDRESS;
    fprintf(out, "        '%s--%s%s[", repeats ? "*" : "", option->name,
            option->argument == NULL ? "" : "=");
    write_zsh_text(out, option->help);
    fprintf(out, "]");
    if (option->argument != NULL) {
        fprintf(out, ":");
        write_zsh_text(out, option->argument);
        fputs(takes_file(option) ? ":_files" : ": ", out);
    }
    fprintf(out, "' \\\n");
}

static void write_zsh_subcommand(FILE *out, const struct sfl_cli_subcommand *subcommand)
{
    fprintf(out, "%s)\n    _arguments -S \\\n", subcommand->name);
    for (size_t i = 0; i < sfl_cli_option_count; i++) {
        if (sfl_cli_option_belongs(&sfl_cli_option_table[i], subcommand))
            write_zsh_option(out, &sfl_cli_option_table[i]);
    }
    if (subcommand->bit == SFL_CLI_DO)
        fprintf(out, "        ':key: ' '*::command:_normal'\n");
    else
        fprintf(out, "        %s\n", subcommand->arguments[0] == '\0' ? "':: :'" : "':key: '");
    fprintf(out, "    ;;\n");
}

void sfl_cli_write_zsh_completion(FILE *out)
{
    fprintf(out, "#compdef singleflight\n"
                 "# zsh completion for singleflight; made from its option table.\n"
                 "local -a subcommands=(\n");
    for (size_t i = 0; i < sfl_cli_subcommand_count; i++) {
        fprintf(out, "    '%s:", sfl_cli_subcommand_table[i].name);
        write_zsh_text(out, sfl_cli_subcommand_table[i].summary);
        fprintf(out, "'\n");
    }
    fprintf(out, ")\n"
                 "if ((CURRENT == 2)); then\n"
                 "    _describe subcommand subcommands\n"
                 "    return\n"
                 "fi\n"
                 "local subcommand=$words[2]\n"
                 "shift words\n"
                 "((CURRENT--))\n"
                 "case $subcommand in\n");
    for (size_t i = 0; i < sfl_cli_subcommand_count; i++)
        write_zsh_subcommand(out, &sfl_cli_subcommand_table[i]);
    fprintf(out, "esac\n");
}
