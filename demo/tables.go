package demo

import (
	"fmt"
	"path/filepath"
	"sort"
	"strings"
)

// cell escapes what would end a table's cell.
func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }

func figures(f *facts) string {
	t := &f.whole
	var w strings.Builder
	w.WriteString("| what | how much |\n|---|--:|\n")
	row := func(what, much string) { fmt.Fprintf(&w, "| %s | %s |\n", what, much) }
	row("files", number(t.Files))
	row("folders", number(f.folder.folders))
	row("bytes", number(t.Bytes))
	row("lines of text", number(t.Lines))
	row("of them blank", number(t.Blank))
	row("words", number(t.Words))
	row("functions (where the language is understood)", number(t.Functions))
	row("notes left for later", number(t.Marks))
	return w.String()
}

func languageTable(all []languageTotal, lines int) string {
	var w strings.Builder
	w.WriteString("| language | files | lines | share | functions | size |\n|---|--:|--:|--:|--:|--:|\n")
	for _, l := range all {
		functions := ""
		if languageDetails[l.Language].functions != nil {
			functions = number(l.Functions)
		}
		fmt.Fprintf(&w, "| %s | %s | %s | %s | %s | %s |\n", l.Language, number(l.Files), number(l.Lines), share(l.Lines, max(lines, 1)), functions, size(l.Bytes))
	}
	return w.String()
}

func folderTable(parts []totals) string {
	var w strings.Builder
	w.WriteString("| folder | files | lines | functions | size | mostly |\n|---|--:|--:|--:|--:|---|\n")
	for _, t := range parts {
		mostly := ""
		if len(t.Languages) > 0 {
			mostly = t.Languages[0].Language
		}
		fmt.Fprintf(&w, "| %s | %s | %s | %s | %s | %s |\n", cell(code(folderName(t.Path))), number(t.Files), number(t.Lines), number(t.Functions), size(t.Bytes), mostly)
	}
	return w.String()
}

func fileTable(files []fileTotal) string {
	if len(files) == 0 {
		return ""
	}
	var w strings.Builder
	w.WriteString("| file | language | lines | functions | size |\n|---|---|--:|--:|--:|\n")
	for _, f := range files {
		fmt.Fprintf(&w, "| %s | %s | %s | %s | %s |\n", cell(code(f.Path)), f.Language, number(f.Lines), number(f.Functions), size(f.Bytes))
	}
	return w.String()
}

const maxListed = 40

// list writes one item a line and says how many it left out.
func list[T any](all []T, item func(T) string) string {
	var w strings.Builder
	for _, one := range all[:min(len(all), maxListed)] {
		fmt.Fprintf(&w, "- %s\n", item(one))
	}
	if left := len(all) - maxListed; left > 0 {
		fmt.Fprintf(&w, "- … and %s more\n", number(left))
	}
	return w.String()
}

func entryList(entries []entryPoint) string {
	if len(entries) == 0 {
		return "None was recognised."
	}
	return list(entries, func(e entryPoint) string { return code(e.Path) + ": " + e.Kind })
}

func manifestList(manifests []manifest) string {
	if len(manifests) == 0 {
		return "No go.mod, package.json, pyproject.toml, requirements.txt or Cargo.toml was seen."
	}
	return list(manifests, func(m manifest) string {
		text := fmt.Sprintf("%s (%s", code(m.Path), m.Ecosystem)
		if m.Name != "" {
			text += ", " + code(m.Name)
		}
		text += "): " + names(m.Direct, "no direct dependency")
		if m.Indirect > 0 {
			text += fmt.Sprintf("; %s indirect", number(m.Indirect))
		}
		if len(m.Dev) > 0 {
			text += "; for development " + names(m.Dev, "")
		}
		return text
	})
}

func names(all []string, none string) string {
	if len(all) == 0 {
		return none
	}
	shown := make([]string, 0, maxListed)
	for _, name := range all[:min(len(all), maxListed)] {
		shown = append(shown, code(label(name)))
	}
	text := strings.Join(shown, ", ")
	if left := len(all) - len(shown); left > 0 {
		text += fmt.Sprintf(" and %s more", number(left))
	}
	return text
}

func markList(all []mark) string {
	if len(all) == 0 {
		return "No TODO, FIXME, HACK or XXX was found."
	}
	kinds := map[string]int{}
	for _, m := range all {
		kinds[m.Kind]++
	}
	return counts(kinds) + ".\n\n" + list(all, func(m mark) string {
		return fmt.Sprintf("%s line %s: %s", code(m.Path), number(m.Line), code(m.Text))
	})
}

// method says what was done, left out and could not be read.
func method(f *facts, s *story) string {
	var w strings.Builder
	fmt.Fprintf(&w, "- Phases: %s.\n", strings.Join(Phases, ", "))
	if len(s.calls) > 0 {
		fmt.Fprintf(&w, "- Tool calls: %s.\n", counts(s.calls))
	}
	if len(f.folder.skipped) > 0 {
		fmt.Fprintf(&w, "- Left out: %s.\n", counts(f.folder.skipped))
	}
	if len(f.whole.NotRead) > 0 {
		fmt.Fprintf(&w, "- Listed, but not read line by line: %s.\n", counts(f.whole.NotRead))
	}
	if f.folder.truncated {
		fmt.Fprintf(&w, "- The folder is larger than this agent looks at: it stopped after %s.\n", plural(maxFiles, "file"))
	}
	unread := f.folder.unreadNames()
	sort.Strings(unread)
	for _, name := range unread[:min(len(unread), maxListed)] {
		fmt.Fprintf(&w, "- Could not be read: %s (%s).\n", code(filepath.ToSlash(name)), label(plainError(f.folder.unread[name])))
	}
	return w.String()
}
