// SPDX-License-Identifier: Apache-2.0
#include "cli/option_table.h"

#define SECOND ((uint64_t)1000)
#define DAY (24 * 3600 * SECOND)

#define VIEWS (SFL_CLI_LIST | SFL_CLI_TOP | SFL_CLI_RUNS | SFL_CLI_STATS)
#define GROUPED SFL_CLI_COMMANDS_OF_KEYS
#define ALL (GROUPED | SFL_CLI_HEALTH)

#define FIELD(name) .offset = offsetof(struct sfl_cli_options, name)

// Bounds that are settings of the server (how long to retain, leases) are the server's to check.
const struct sfl_cli_option sfl_cli_option_table[] = {
    {.name = "retain",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_DURATION,
     FIELD(retain_ms),
     .argument = "TIME",
     .fallback = "0",
     .help = "Keep the outcome of a command that succeeded for so long: whoever comes within that "
             "time gets it at once, and nothing is run."},
    {.name = "retain-error",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_DURATION,
     FIELD(retain_error_ms),
     .argument = "TIME",
     .fallback = "0",
     .help = "The same for a command that failed."},
    {.name = "max-age",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_DURATION,
     FIELD(max_age_ms),
     .argument = "TIME",
     .fallback = "0",
     .help = "Take a retained outcome only if it is not older. 0: any age."},
    {.name = "every",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_DURATION,
     FIELD(every_ms),
     .argument = "TIME",
     .fallback = "0",
     .help = "Run at most once in that time, counted from the start of the last run, however it "
             "ended: whoever comes earlier gets its outcome. A schedule with the same period keeps "
             "its runs: the last tenth of the time, 30 seconds at most, is left to clocks that "
             "differ."},
    {.name = "stale",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_DURATION,
     FIELD(stale_ms),
     .argument = "TIME",
     .fallback = "0",
     .help = "Take a retained outcome that is older than --max-age, but not older than this, at "
             "once, and have the command run in the background to replace it. When that fails, the "
             "old one is served on. Retain it for as long (--retain)."},
    {.name = "fresh",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_FLAG,
     FIELD(fresh),
     .help = "Take no retained outcome, and join no command that runs already: wait for its end, "
             "and run once more. All who ask for that meanwhile share the one run."},
    {.name = "replace",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_FLAG,
     FIELD(replace),
     .help =
         "End what runs for the key first. The invocation that ran it follows this one, if their "
         "command lines are the same; those that waited for it exit with code 75."},
    {.name = "lease",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_DURATION,
     FIELD(lease_ms),
     .argument = "TIME",
     .fallback = "15s",
     .help = "How long the leader may be out of reach before somebody else takes over: a broken "
             "connection that is back within this time does not end the command, and a leader "
             "that is killed is replaced after it. 0: the leader is lost with its connection."},
    {.name = "run-limit",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_DURATION,
     FIELD(run_limit_ms),
     .argument = "TIME",
     .fallback = "0",
     .help =
         "A leader whose command takes longer loses the lead, and its command is ended. The "
         "one that waits longest begins it anew, unless there is --hold. 0: the server's limit, "
         "24h."},
    {.name = "max-attempts",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_NUMBER,
     FIELD(max_attempts),
     .argument = "NUMBER",
     .fallback = "0",
     .max = UINT32_MAX,
     .help = "How many leaders may try, one after the other. 0: no limit."},
    {.name = "on-leader-loss",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_CHOICE,
     FIELD(on_leader_loss),
     .argument = "promote|fail|hold",
     .fallback = "promote",
     .help = "When the leader is lost: the one that waits longest runs the command anew; or "
             "everybody ends with code 75; or that is the outcome, which is kept for "
             "--retain-error: see --hold."},
    {.name = "hold",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_FLAG,
     FIELD(hold),
     .help = "For what may not be tried twice: a leader that is lost is not replaced. All exit "
             "with code 75, and so does whoever comes within --retain-error, until singleflight "
             "forget. How it ended is kept for --retain-error, too, whatever ended it. The same as "
             "--on-leader-loss hold."},
    {.name = "pass-on-error",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_FLAG,
     FIELD(pass_on_error),
     .help = "When this invocation leads and its command fails, let the next one try. The last "
             "failure is the outcome for whoever is left."},
    {.name = "skip-if-running",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_FLAG,
     FIELD(skip_if_running),
     .help = "Do not wait: when somebody else runs it, exit at once (see --skip-code)."},
    {.name = "skip-code",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_NUMBER,
     FIELD(skip_code),
     .argument = "CODE",
     .fallback = "75",
     .max = 255,
     .help = "What --skip-if-running exits with when it skips."},
    {.name = "once",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_FLAG,
     FIELD(once),
     .help = "Print nothing when the answer is a retained outcome: it has been printed before."},
    {.name = "retained-code",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_NUMBER,
     FIELD(retained_code),
     .argument = "CODE",
     .fallback = "",
     .max = 255,
     .help = "What to exit with when the answer is a retained outcome. Otherwise: with the code of "
             "that outcome."},
    {.name = "output",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_CHOICE,
     FIELD(prints),
     .argument = "all|leader",
     .fallback = "all",
     .help = "Who prints what the command says: all, or only who runs it. With leader, five nodes "
             "with the same line in their crontab send one mail."},
    {.name = "errors",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_CHOICE,
     FIELD(errors),
     .argument = "share|own",
     .fallback = "share",
     .help = "With share, those who follow a command that fails get the last lines of its standard "
             "error, 4 KiB at most. It is a pipe then, as its standard output is; a terminal is "
             "left to the command, and nothing is shared. With own the command has the standard "
             "error of this tool in any case."},
    {.name = "wait",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_DURATION,
     FIELD(wait_ms),
     .argument = "TIME",
     .fallback = "0",
     .help = "Wait for somebody else's command so long at most (code 75). A command that this "
             "invocation runs itself is never touched. 0: without bound."},
    {.name = "jitter",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_DURATION,
     FIELD(jitter_ms),
     .argument = "TIME",
     .fallback = "0",
     .max = DAY,
     .help = "Wait for a random time before anything else, so long at most: spreads what many "
             "nodes begin at the same second."},
    {.name = "follow-only",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_FLAG,
     FIELD(follow_only),
     .help = "Never run anything: follow what runs, or take what is retained. Needs no command."},
    {.name = "fingerprint",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_TEXT,
     FIELD(fingerprint),
     .argument = "TEXT",
     .fallback = "",
     .help = "At most 64 bytes that stand for what the command does: the same key with another "
             "fingerprint is refused (code 65). Otherwise it is a hash of the command line. none: "
             "share the key with whatever other command uses it."},
    {.name = "timeout",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_DURATION,
     FIELD(timeout_ms),
     .argument = "TIME",
     .fallback = "0",
     .help = "Give up after so long (code 75). A leader gives up the lead and ends its command. "
             "0: never."},
    {.name = "fail-open",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_FLAG,
     FIELD(fail_open),
     .help =
         "When no server can be reached, run the command here, alone (SINGLEFLIGHT_TOKEN is "
         "0 then), instead of exiting with code 69. A command that runs already when the server "
         "is lost goes on to its end, and its exit code counts. Either is said on standard "
         "error. Others may run the command at the same time. A server that shuts down is not \"no "
         "server\": until it is gone the command is not run."},
    {.name = "buffer",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_FLAG,
     FIELD(buffer),
     .help =
         "Print nothing before the outcome is known, so that no output of a leader that was "
         "lost can ever be printed. Output beyond --result-limit is printed all the same: it is "
         "not kept back without bound."},
    {.name = "kill-after",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_DURATION,
     FIELD(kill_after_ms),
     .argument = "TIME",
     .fallback = "10s",
     .max = DAY,
     .help = "The command of a leader that lost the lead, or was killed, gets SIGTERM with its "
             "whole process group, and SIGKILL when any of it still runs after so long."},
    {.name = "output-grace",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_DURATION,
     FIELD(output_grace_ms),
     .argument = "TIME",
     .fallback = "1s",
     .max = DAY,
     .help = "A command that has ended, and left something behind that holds its standard output "
             "or error open, is over after so long. What it left behind is not ended, but nobody "
             "reads what it writes: if it does not ignore SIGPIPE, its next line there ends it. "
             "Have it write to a file of its own."},
    {.name = "result-limit",
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_SIZE,
     FIELD(result_bytes_max),
     .argument = "SIZE",
     .fallback = "64MiB",
     .min = 1,
     .max = (uint64_t)1 << 40,
     .help =
         "The largest output that is shared. Beyond it the command goes on, and the rest of its "
         "output is printed by the leader alone; a last line tells the others how much was left "
         "out. The server has a limit of its own (64MiB)."},
    {.name = "caller",
     .commands = SFL_CLI_DO | SFL_CLI_STOP,
     .type = SFL_CLI_OPTION_TEXT,
     FIELD(caller),
     .argument = "NAME",
     .fallback = "",
     .help =
         "The name of this invocation in listings and messages. Otherwise: program@host:process."},
    {.name = "verbose",
     .letter = 'v',
     .commands = SFL_CLI_DO,
     .type = SFL_CLI_OPTION_FLAG,
     FIELD(verbose),
     .help = "Say on standard error who leads."},

    {.name = "if-unshared",
     .commands = SFL_CLI_FORGET,
     .type = SFL_CLI_OPTION_FLAG,
     FIELD(if_unshared),
     .help = "Forget the flight only if nobody follows it."},
    {.name = "since",
     .commands = SFL_CLI_RUNS,
     .type = SFL_CLI_OPTION_DURATION,
     FIELD(since_ms),
     .argument = "TIME",
     .fallback = "0",
     .help = "Only what has ended within that time, such as 12h. 0: all that is remembered."},
    {.name = "prefix",
     .commands = SFL_CLI_LIST | SFL_CLI_TOP | SFL_CLI_RUNS,
     .type = SFL_CLI_OPTION_TEXT,
     FIELD(prefix),
     .argument = "TEXT",
     .fallback = "",
     .help = "Only keys that begin so."},
    {.name = "limit",
     .commands = SFL_CLI_LIST | SFL_CLI_TOP | SFL_CLI_RUNS,
     .type = SFL_CLI_OPTION_NUMBER,
     FIELD(limit),
     .argument = "NUMBER",
     .fallback = "0",
     .max = UINT32_MAX - 1,
     .help = "At most so many rows from each server. 0: 1,000 for list and runs; top looks at "
             "100,000."},
    {.name = "interval",
     .commands = SFL_CLI_TOP,
     .type = SFL_CLI_OPTION_DURATION,
     FIELD(interval_ms),
     .argument = "TIME",
     .fallback = "1s",
     .min = 50,
     .max = DAY,
     .help = "The time between two looks."},
    {.name = "count",
     .commands = SFL_CLI_TOP,
     .type = SFL_CLI_OPTION_NUMBER,
     FIELD(count),
     .argument = "NUMBER",
     .fallback = "0",
     .max = UINT32_MAX,
     .help = "End after so many looks. 0: on q or Ctrl-C; without a terminal, after one look."},
    {.name = "json",
     .commands = VIEWS | SFL_CLI_FORGET | SFL_CLI_STOP | SFL_CLI_HEALTH,
     .type = SFL_CLI_OPTION_FLAG,
     FIELD(json),
     .help =
         "Print one line of JSON for each row. Bytes of a key that are not valid UTF-8 appear as "
         "\"?\"; key_hex is exact."},

    {.name = "group",
     .letter = 'g',
     .commands = GROUPED,
     .type = SFL_CLI_OPTION_TEXT,
     FIELD(group),
     .argument = "NAME",
     .fallback = "",
     .help = "The namespace of the key; for list, top, runs and stats: only this group."},
    {.name = "address",
     .letter = 'a',
     .commands = ALL,
     .type = SFL_CLI_OPTION_ADDRESS,
     .variable = "SINGLEFLIGHT_ADDRESS",
     .argument = "HOST:PORT",
     .fallback = "",
     .help = "The server, or unix:/path. May be given several times, or with commas: each key has "
             "one home among the addresses. Otherwise SINGLEFLIGHT_ADDRESS counts (comma "
             "separated), then /etc/singleflight.conf, and without either 127.0.0.1:7433."},
    {.name = "tls-ca",
     .commands = ALL,
     .type = SFL_CLI_OPTION_TEXT,
     FIELD(tls_ca),
     .variable = "SINGLEFLIGHT_TLS_CA",
     .argument = "FILE",
     .fallback = "",
     .help = "Talk TLS, and trust the certificates in this file (PEM); system: those that the "
             "system trusts. Otherwise SINGLEFLIGHT_TLS_CA counts; without either the connection "
             "is plain. Addresses of the kind unix: are always plain."},
    {.name = "tls-cert",
     .commands = ALL,
     .type = SFL_CLI_OPTION_TEXT,
     FIELD(tls_cert),
     .variable = "SINGLEFLIGHT_TLS_CERT",
     .argument = "FILE",
     .fallback = "",
     .help = "Show this certificate to the server (PEM, the chain behind it). With --tls-key and "
             "--tls-ca. Otherwise SINGLEFLIGHT_TLS_CERT counts."},
    {.name = "tls-key",
     .commands = ALL,
     .type = SFL_CLI_OPTION_TEXT,
     FIELD(tls_key),
     .variable = "SINGLEFLIGHT_TLS_KEY",
     .argument = "FILE",
     .fallback = "",
     .help = "The private key of that certificate (PEM, without a password). Otherwise "
             "SINGLEFLIGHT_TLS_KEY counts."},
    {.name = "tls-server-name",
     .commands = ALL,
     .type = SFL_CLI_OPTION_TEXT,
     FIELD(tls_server_name),
     .variable = "SINGLEFLIGHT_TLS_SERVER_NAME",
     .argument = "NAME",
     .fallback = "",
     .help = "The name that the server's certificate must have, instead of that in the address. "
             "Otherwise SINGLEFLIGHT_TLS_SERVER_NAME counts."},
    {.name = "token-file",
     .commands = ALL,
     .type = SFL_CLI_OPTION_TEXT,
     FIELD(token_file),
     .variable = "SINGLEFLIGHT_TOKEN_FILE",
     .argument = "FILE",
     .fallback = "",
     .help = "Show the server the token in this file. It is refused with an address that is "
             "neither encrypted nor local. Otherwise SINGLEFLIGHT_TOKEN_FILE counts."},
    {.name = "connect-timeout",
     .commands = ALL,
     .type = SFL_CLI_OPTION_DURATION,
     FIELD(connect_timeout_ms),
     .argument = "TIME",
     .fallback = "",
     .min = 1,
     .max = DAY,
     .help =
         "How long to look for a server, at first and after a connection broke. Otherwise 5s, and "
         "for do as long as --lease if that is longer: a job outlives a restart of the daemon "
         "for so long."},
    {.name = "quiet",
     .letter = 'q',
     .commands = ALL,
     .type = SFL_CLI_OPTION_FLAG,
     FIELD(quiet),
     .help = "Say nothing on standard error; the exit code tells."},
    {.name = "help",
     .letter = 'h',
     .commands = ALL | SFL_CLI_TOKEN,
     .type = SFL_CLI_OPTION_HELP,
     .help = "Print this help and exit."},
};

const size_t sfl_cli_option_count = sizeof(sfl_cli_option_table) / sizeof(sfl_cli_option_table[0]);

const struct sfl_cli_subcommand sfl_cli_subcommand_table[] = {
    {.name = "do",
     .bit = SFL_CLI_DO,
     .arguments = "[--] KEY -- COMMAND [ARG...]",
     .summary = "run a command once, however many ask for it",
     .help =
         "Of all invocations with the same key, on any machine, that run at the same time, one "
         "leads: it runs the command. Its standard output goes to all of them while it runs, and "
         "all exit with its exit code. Signals that this tool gets go to the command. A leader "
         "that is killed, or out of reach for longer than --lease, is replaced by the one that "
         "waits longest, whose command starts from the beginning. An invocation that finds that it "
         "was replaced ends its command and follows the new leader.\n"
         "The command finds SINGLEFLIGHT_TOKEN, SINGLEFLIGHT_KEY, SINGLEFLIGHT_GROUP and "
         "SINGLEFLIGHT_ATTEMPT in its environment. The token is greater than that of every leader "
         "before: what the command "
         "writes to should refuse a smaller token, because nobody can keep a machine that was "
         "paused from going on later. The command runs in a process group of its own, and reads "
         "standard input unless that is a terminal. It is over when it has ended and its standard "
         "output is closed (see --output-grace). A command that ends by a signal which this tool "
         "passed on to it counts as killed: it is replaced, and not retained; nor is what says "
         "that "
         "the command could not be started (126, 127).\n"
         "A command that has ended by itself gives its exit code, also when its outcome could not "
         "be "
         "handed over to the others; standard error says so then. What it has printed stays until "
         "another leader's output takes its place.\n"
         "When a leader is lost whose output was printed already, the output of the next one is "
         "compared with it: what is the same is not printed twice. Where it differs, a regular "
         "file is cut back to where this tool began to write; to anything else the output is "
         "printed again from its beginning, with a note on standard error (see --buffer)."},
    {.name = "forget",
     .bit = SFL_CLI_FORGET,
     .arguments = "KEY",
     .summary = "let the next caller of a key start anew",
     .help = "Those who wait for the key already get their outcome as usual, but whoever comes "
             "from now on starts another flight. A retained outcome is dropped."},
    {.name = "stop",
     .bit = SFL_CLI_STOP,
     .arguments = "KEY",
     .summary = "end what runs for a key, everywhere",
     .help = "The leader is told that it lost the lead, and its command is ended; nobody takes "
             "over: all who wait exit with code 75 and say who ended it. A retained outcome is "
             "dropped. Exits with 66 when nothing runs."},
    {.name = "runs",
     .bit = SFL_CLI_RUNS,
     .arguments = "[KEY]",
     .summary = "show what has ended: who, when, how long, how",
     .help = "One row for each flight that has ended, newest first. A server remembers those that "
             "had a lease, as all of this tool have, or whose outcome was retained; see "
             "singleflightd --runs and --runs-limit."},
    {.name = "list",
     .bit = SFL_CLI_LIST,
     .arguments = "",
     .summary = "show what runs and what is retained",
     .help = "One row for each flight and each retained outcome."},
    {.name = "top",
     .bit = SFL_CLI_TOP,
     .arguments = "",
     .summary = "the same, counters, rates and what has ended, refreshed",
     .help = "Shows the counters of each server, how fast they grow, which part of all calls was "
             "saved, and the flights, those with the most callers first; on a terminal also what "
             "has ended. Rates need a second look: without a terminal, --count 2."},
    {.name = "stats",
     .bit = SFL_CLI_STATS,
     .arguments = "",
     .summary = "show the counters of each server",
     .help = "Counters since the start of the server, and what is there now."},
    {.name = "health",
     .bit = SFL_CLI_HEALTH,
     .arguments = "",
     .summary = "ask each server whether it serves",
     .help =
         "Prints one line for each server, and exits with 0 when all of them serve; with 69 when "
         "one cannot be reached, shuts down or does not serve. For probes and scripts."},
    {.name = "token",
     .bit = SFL_CLI_TOKEN,
     .arguments = "NAME",
     .summary = "make a token that lets a caller in",
     .help =
         "Prints a new token on standard output, for a file that the caller alone may read (see "
         "--token-file), and on standard error the line for the token file of singleflightd, "
         "which holds its name and its SHA-256 alone: singleflight token cron > cron.token 2>> "
         "tokens. No server is asked."},
};

const size_t sfl_cli_subcommand_count =
    sizeof(sfl_cli_subcommand_table) / sizeof(sfl_cli_subcommand_table[0]);
