package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"Shell to complete in: bash, zsh or fish."`
}

func (completionCmd) Help() string {
	return `Completes commands and flags, and job IDs by asking the server.

Examples:

    source <(tidings completion bash)
    tidings completion zsh > "${fpath[1]}/_tidings"
    tidings completion fish > ~/.config/fish/completions/tidings.fish`
}

// Run prints the script.
func (c *completionCmd) Run(e *env) error {
	out := bufio.NewWriter(e.out)
	commands := completions(e.model)
	switch c.Shell {
	case "bash":
		writeBash(out, commands)
	case "zsh":
		writeZsh(out, commands)
	case "fish":
		writeFish(out, commands)
	}
	return out.Flush() // tells what went wrong before, too
}

// command is what is completed behind a command's name; the first one, without
// a name, is the program itself.
type command struct {
	name, help string
	flags      []*kong.Flag
	jobs       bool     // its arguments are job IDs
	files      bool     // its arguments are files
	words      []string // its arguments are these
}

func completions(app *kong.Application) []command {
	commands := []command{{flags: visible(app.Flags)}}
	for _, child := range app.Children {
		c := command{name: child.Name, help: child.Help, flags: append(visible(child.Flags), visible(app.Flags)...)}
		if len(child.Positional) > 0 {
			argument := child.Positional[0]
			c.jobs = argument.Name == "job"
			c.files = argument.Name == "file"
			c.words = argument.EnumSlice()
			if len(c.words) == 1 && c.words[0] == "" {
				c.words = nil
			}
		}
		commands = append(commands, c)
	}
	return commands
}

func visible(flags []*kong.Flag) []*kong.Flag {
	var out []*kong.Flag
	for _, flag := range flags {
		if !flag.Hidden {
			out = append(out, flag)
		}
	}
	return out
}

// flagWords are the flags as they are typed.
func (c *command) flagWords() string {
	words := make([]string, len(c.flags))
	for i, flag := range c.flags {
		words[i] = "--" + flag.Name
	}
	return strings.Join(words, " ")
}

func names(commands []command) string {
	out := make([]string, 0, len(commands))
	for _, c := range commands[1:] {
		out = append(out, c.name)
	}
	return strings.Join(out, " ")
}

// listJobs is how the scripts ask for job IDs; a server that is away must not
// garble the line.
const listJobs = "tidings jobs --quiet 2>/dev/null"

// writeBash completes by what stands behind the first word that is a command.
// Job IDs are compared here rather than by compgen -W, which would run what
// looks like a command in one.
// https://www.gnu.org/software/bash/manual/html_node/Programmable-Completion.html
func writeBash(out io.Writer, commands []command) {
	fmt.Fprintf(out, `# bash completion for tidings
_tidings_jobs() {
    local id
    while IFS= read -r id; do
        [[ $id == "$1"* ]] && COMPREPLY+=("$(printf %%q "$id")")
    done < <(%s)
}
_tidings() {
    local current="${COMP_WORDS[COMP_CWORD]}" command="" word
    COMPREPLY=()
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case " %s " in
            *" $word "*) command="$word"; break ;;
        esac
    done
    local flags="" words="" kind=""
    case "$command" in
`, listJobs, names(commands))
	for _, c := range commands {
		fmt.Fprintf(out, "        %s)\n            flags=%s\n", shellQuote(c.name), shellQuote(c.flagWords()))
		switch {
		case c.name == "":
			fmt.Fprintf(out, "            words=%s\n", shellQuote(names(commands)))
		case c.jobs:
			fmt.Fprintf(out, "            kind=jobs\n")
		case c.files:
			fmt.Fprintf(out, "            kind=files\n")
		case len(c.words) > 0:
			fmt.Fprintf(out, "            words=%s\n", shellQuote(strings.Join(c.words, " ")))
		}
		fmt.Fprintf(out, "            ;;\n")
	}
	fmt.Fprint(out, `    esac
    if [[ $current == -* ]]; then
        COMPREPLY=($(compgen -W "$flags" -- "$current"))
    elif [[ $kind == jobs ]]; then
        _tidings_jobs "$current"
    elif [[ $kind == files ]]; then
        compopt -o filenames 2>/dev/null
        while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "$current")
    else
        COMPREPLY=($(compgen -W "$words" -- "$current"))
    fi
}
complete -F _tidings tidings
`)
}

// writeZsh makes the function that a file _tidings in $fpath holds.
// https://zsh.sourceforge.io/Doc/Release/Completion-System.html
func writeZsh(out io.Writer, commands []command) {
	fmt.Fprint(out, `#compdef tidings
# zsh completion for tidings
_tidings() {
    local command="" word
    local -a commands flags
    commands=(
`)
	for _, c := range commands[1:] {
		fmt.Fprintf(out, "        %s\n", shellQuote(zshItem(c.name, c.help)))
	}
	fmt.Fprint(out, `    )
    for word in "${(@)words[2,CURRENT-1]}"; do
        if (( ${commands[(I)$word:*]} )); then command=$word; break; fi
    done
    case "$command" in
`)
	for _, c := range commands {
		fmt.Fprintf(out, "        %s)\n            flags=(\n", shellQuote(c.name))
		for _, flag := range c.flags {
			fmt.Fprintf(out, "                %s\n", shellQuote(zshItem("--"+flag.Name, flag.Help)))
		}
		fmt.Fprintf(out, "            )\n            if [[ $PREFIX == -* ]]; then _describe flag flags\n")
		switch {
		case c.name == "":
			fmt.Fprint(out, "            else _describe command commands\n")
		case c.jobs:
			fmt.Fprintf(out, "            else compadd -- ${(f)\"$(%s)\"}\n", listJobs)
		case c.files:
			fmt.Fprint(out, "            else _files\n")
		case len(c.words) > 0:
			fmt.Fprintf(out, "            else compadd -- %s\n", strings.Join(c.words, " "))
		}
		fmt.Fprint(out, "            fi\n            ;;\n")
	}
	fmt.Fprint(out, `    esac
}
if [[ $funcstack[1] == _tidings ]]; then _tidings "$@"; else compdef _tidings tidings; fi
`)
}

// zshItem is a word and what it means, as _describe takes them.
func zshItem(word, help string) string {
	return strings.ReplaceAll(word, ":", `\:`) + ":" + firstSentence(help)
}

// writeFish gives one rule a command and flag.
// https://fishshell.com/docs/current/completions.html
func writeFish(out io.Writer, commands []command) {
	all := names(commands)
	fmt.Fprintf(out, "# fish completion for tidings\ncomplete -c tidings -f\n")
	for _, c := range commands {
		when := fmt.Sprintf("__fish_seen_subcommand_from %s", c.name)
		if c.name == "" {
			when = fmt.Sprintf("not __fish_seen_subcommand_from %s", all)
		} else {
			fmt.Fprintf(out, "complete -c tidings -n %s -a %s -d %s\n",
				shellQuote("not __fish_seen_subcommand_from "+all), c.name, shellQuote(firstSentence(c.help)))
		}
		for _, flag := range c.flags {
			value := " -r"
			if flag.IsBool() {
				value = ""
			}
			fmt.Fprintf(out, "complete -c tidings -n %s -l %s%s -d %s\n", shellQuote(when), flag.Name, value, shellQuote(firstSentence(flag.Help)))
		}
		switch {
		case c.jobs:
			fmt.Fprintf(out, "complete -c tidings -n %s -a %s\n", shellQuote(when), shellQuote("("+listJobs+")"))
		case c.files:
			fmt.Fprintf(out, "complete -c tidings -n %s -F\n", shellQuote(when))
		case len(c.words) > 0:
			fmt.Fprintf(out, "complete -c tidings -n %s -a %s\n", shellQuote(when), shellQuote(strings.Join(c.words, " ")))
		}
	}
}

func firstSentence(help string) string {
	sentence, _, _ := strings.Cut(help, ". ")
	return strings.TrimSuffix(sentence, ".")
}

// shellQuote quotes a word for the three shells.
func shellQuote(word string) string {
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
