package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// A config file holds defaults for flags, by their names: those that every
// command has at the top, those of one command under its name.
//
//	url: https://tidings.example.com
//	serve:
//	  addr: 127.0.0.1:9000
//	  keep-for: 24h
//	  jobs: # commands that jobs may run on this machine
//	    report:
//	      command: [python, report.py]
//	      timeout: 10m
//
// A flag on the command line comes first, then its environment variable, then
// the file. A key that names no flag is an error.

// BeforeResolve makes kong look into the config file for what neither the
// command line nor the environment sets.
func (c *cli) BeforeResolve(ctx *kong.Context) error {
	path, must := configPath(ctx)
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !must {
		return nil
	}
	if err != nil {
		return fmt.Errorf("can't read the config file: %w", err)
	}
	config, err := parseConfig(path, text)
	if err != nil {
		return err
	}
	ctx.AddResolver(config)
	return config.Validate(ctx.Model)
}

// configPath is the file to read, and whether it must be there.
func configPath(ctx *kong.Context) (path string, must bool) {
	for _, flag := range ctx.Model.Flags {
		if flag.Name == "config" {
			if path, _ = ctx.FlagValue(flag).(string); path != "" {
				return path, true
			}
		}
	}
	if _, err := os.Stat("tidings.yaml"); err == nil {
		return "tidings.yaml", true
	}
	if dir, err := os.UserConfigDir(); err == nil {
		return filepath.Join(dir, "tidings", "config.yaml"), false
	}
	return "", false
}

// configFile is a parsed config file: a [kong.Resolver].
type configFile struct {
	path     string
	global   map[string]*yaml.Node
	sections map[string]map[string]*yaml.Node // by command
	names    map[string]*yaml.Node            // of the sections, for their lines
}

func parseConfig(path string, text []byte) (*configFile, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, syntaxError(path, text, err)
	}
	c := &configFile{path: path, global: map[string]*yaml.Node{}, sections: map[string]map[string]*yaml.Node{}, names: map[string]*yaml.Node{}}
	if len(doc.Content) == 0 {
		return c, nil // empty
	}
	top, err := c.mapping(doc.Content[0])
	if err != nil {
		return nil, err
	}
	for key, value := range top {
		if value.Kind != yaml.MappingNode {
			c.global[key] = value
			continue
		}
		if c.sections[key], err = c.mapping(value); err != nil {
			return nil, err
		}
		c.names[key] = value
	}
	return c, nil
}

func (c *configFile) mapping(node *yaml.Node) (map[string]*yaml.Node, error) {
	if node.Kind != yaml.MappingNode {
		return nil, c.errorAt(node, "a mapping of flag names to values is expected here")
	}
	out := make(map[string]*yaml.Node, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if _, twice := out[key.Value]; twice {
			return nil, c.errorAt(key, "%q is set twice", key.Value)
		}
		out[key.Value] = node.Content[i+1]
	}
	return out, nil
}

func (c *configFile) errorAt(node *yaml.Node, format string, args ...any) error {
	return &configError{path: c.path, line: node.Line, reason: fmt.Sprintf(format, args...)}
}

// configError is what is wrong in a line of a config file.
type configError struct {
	path   string
	line   int
	reason string
}

func (e *configError) Error() string { return fmt.Sprintf("%s:%d: %s", e.path, e.line, e.reason) }

// yamlLine is how the YAML package names a line. For the first it names none.
var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// syntaxError says where a file is no YAML. What people can't see is looked for
// first: a tab, which YAML takes for no indentation.
func syntaxError(path string, text []byte, err error) error {
	n := 0
	for line := range bytes.Lines(text) {
		n++
		if indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]; bytes.ContainsRune(indent, '\t') {
			return &configError{path, n, "a tab indents this line; YAML wants spaces"}
		}
	}
	said := yamlLine.FindStringSubmatch(err.Error())
	if said == nil {
		return &configError{path, 1, err.Error()}
	}
	line, _ := strconv.Atoi(said[1]) // none is the first
	return &configError{path, max(line, 1), strings.TrimPrefix(err.Error(), said[0])}
}

// Validate implements [kong.Resolver]: every key must name a flag.
func (c *configFile) Validate(app *kong.Application) error {
	for key, value := range c.global {
		if findFlag(app.Node, key) == nil {
			return c.errorAt(value, "%q is no flag that every command has; put a command's own flags under its name, as in \"serve:\"", key)
		}
	}
	for name, section := range c.sections {
		command := findCommand(app.Node, name)
		if command == nil {
			return c.errorAt(c.names[name], "%q is no command", name)
		}
		for key, value := range section {
			if findFlag(command, key) == nil {
				return c.errorAt(value, "%q is no flag of \"tidings %s\"", key, name)
			}
		}
	}
	return nil
}

func findFlag(node *kong.Node, name string) *kong.Flag {
	for _, flag := range node.Flags {
		if flag.Name == name && name != "help" && name != "config" {
			return flag
		}
	}
	return nil
}

func findCommand(node *kong.Node, name string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == name {
			return child
		}
	}
	return nil
}

// Resolve implements [kong.Resolver]. Environment variables come before the
// file, and kong has taken them already.
func (c *configFile) Resolve(_ *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if _, set := os.LookupEnv(name); set {
			return nil, nil
		}
	}
	values := c.global
	if parent.Command != nil {
		values = c.sections[parent.Command.Name]
	}
	node, ok := values[flag.Name]
	if !ok || node.Tag == "!!null" {
		return nil, nil
	}
	if node.Kind == yaml.MappingNode && flag.Hidden { // a setting that only a file can hold
		text, err := yaml.Marshal(node)
		return string(text), err
	}
	value, err := c.value(node)
	if err != nil {
		return nil, err
	}
	if err := tryFlag(flag, value); err != nil {
		return nil, c.errorAt(node, "%s: %v", keyOf(parent, flag), err)
	}
	return value, nil
}

// keyOf is where the flag stands in the file.
func keyOf(parent *kong.Path, flag *kong.Flag) string {
	if parent.Command == nil {
		return flag.Name
	}
	return parent.Command.Name + "." + flag.Name
}

// tryFlag reports whether the flag takes the value. Kong would find out, too,
// but knows of no file.
func tryFlag(flag *kong.Flag, value any) error {
	target := reflect.New(flag.Target.Type()).Elem()
	switch target.Kind() {
	case reflect.Pointer:
		target.Set(reflect.New(target.Type().Elem()))
	case reflect.Map:
		target.Set(reflect.MakeMap(target.Type()))
	}
	scan := kong.Scan().PushTyped(value, kong.FlagValueToken)
	if err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: scan}, target); err != nil {
		return err
	}
	if text := fmt.Sprint(target); flag.Enum != "" && !flag.EnumMap()[text] {
		return fmt.Errorf("%q is none of %s", text, strings.Join(flag.EnumSlice(), ", "))
	}
	return nil
}

// value gives a scalar as the text that would stand on the command line, and a
// list as several of them.
func (c *configFile) value(node *yaml.Node) (any, error) {
	switch node.Kind {
	case yaml.AliasNode:
		return c.value(node.Alias)
	case yaml.ScalarNode:
		return node.Value, nil
	case yaml.SequenceNode:
		list := make([]any, len(node.Content))
		for i, item := range node.Content {
			if item.Kind != yaml.ScalarNode {
				return nil, c.errorAt(item, "a list of plain values is expected here")
			}
			list[i] = item.Value
		}
		return list, nil
	}
	return nil, c.errorAt(node, "a plain value or a list is expected here")
}
