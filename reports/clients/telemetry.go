// Package telemetry records runs of a tool, with its users' consent and without costing them time.
//
// Written by `abaculus client go ID` from the tool's registry file, and not by hand. It needs Go 1.21 and nothing else.
//
//	run := telemetry.Start(telemetry.Config{Version: "1.4.0", Endpoint: "https://telemetry.my-tool.dev"})
//	…
//	os.Exit(run.End(code))
package telemetry

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"
)

const (
	mostFiles  = 500
	mostBytes  = 5_000_000
	many       = 20
	oldEnough  = time.Hour
	batchSize  = 100
	batchBytes = 1 << 20
	giveUp     = 30 * 24 * time.Hour
	lifetime   = 2 * time.Minute
	inlineWait = 2 * time.Second
	firstDelay = 10 * time.Minute
	longest    = 24*time.Hour - time.Second
)

// Config is what the tool says about itself. Without a Prompt nobody is asked.
type Config struct {
	Version, Endpoint, Prompt, Link string
	Inline                          bool // send before the run ends, where the disk is thrown away with it
}

// Run is one run of the tool. When it may not be recorded, its methods do nothing.
type Run struct {
	config     Config
	recorded   bool
	mutex      sync.Mutex
	start      time.Time
	attributes map[string]any
	events     []map[string]any
	spans      []*span
}

type span struct {
	run        *Run
	kind       string
	start, end time.Time
	attributes map[string]any
}

// Of is for optional values: Of("1.5.0").
func Of[T any](value T) *T { return &value }

func init() { // the process that uploads is the tool itself, and never gets as far as main
	if given := os.Getenv(variable + "_UPLOADS"); given != "" {
		parts := strings.SplitN(given, "\n", 3)
		time.AfterFunc(lifetime, func() { os.Exit(1) })
		if len(parts) == 3 {
			upload(parts[1], parts[2], parts[0], false)
		}
		os.Exit(0)
	}
}

// Start begins a run, and asks the user where that is due.
func Start(config Config) *Run {
	if given := os.Getenv(variable + "_ENDPOINT"); given != "" {
		config.Endpoint = given
	}
	config.Endpoint = usable(config.Endpoint)
	rule, allowed := decide(config, stateDirectory())
	if (rule == "unasked" || rule == "more") && mayAsk(config) {
		allowed = ask(config)
	}
	if len(os.Args) > 1 && os.Args[1] == "telemetry" {
		allowed = false
	}
	run := &Run{config: config, recorded: allowed, start: time.Now(), attributes: map[string]any{}}
	if allowed {
		stopped := make(chan os.Signal, 1)
		for _, one := range []os.Signal{syscall.SIGTERM, syscall.SIGHUP} {
			if !signal.Ignored(one) { // as under nohup
				signal.Notify(stopped, one)
			}
		}
		go func() {
			one := (<-stopped).(syscall.Signal)
			run.End(128 + int(one))
			signal.Reset(one)
			if process, err := os.FindProcess(os.Getpid()); err == nil && process.Signal(one) != nil {
				os.Exit(128 + int(one))
			}
		}()
	}
	return run
}

// End ends the run with its exit code, which it gives back: os.Exit(run.End(code)). It says nothing, whatever fails.
func (run *Run) End(code int) int {
	run.mutex.Lock()
	defer run.mutex.Unlock()
	if !run.recorded {
		return code
	}
	run.recorded = false
	if _, allowed := decide(run.config, stateDirectory()); !allowed {
		return code // the user said no in the meantime
	}
	if collected("attributes.exitCode") {
		run.attributes["exitCode"] = code
	}
	run.keep(stateDirectory())
	return code
}

func (run *Run) set(name string, value any) {
	run.mutex.Lock()
	defer run.mutex.Unlock()
	if run.recorded && storable(value) {
		run.attributes[name] = value
	}
}

func (run *Run) record(kind string, attributes map[string]any) {
	run.mutex.Lock()
	defer run.mutex.Unlock()
	for name, value := range attributes {
		if !storable(value) {
			delete(attributes, name)
		}
	}
	if run.recorded && len(run.events) < 1000 {
		run.events = append(run.events, map[string]any{"type": kind, "time": run.moment(time.Now()), "attributes": attributes})
	}
}

func (run *Run) begin(kind string) *span {
	run.mutex.Lock()
	defer run.mutex.Unlock()
	made := &span{run: run, kind: kind, start: time.Now(), attributes: map[string]any{}}
	if run.recorded && len(run.spans) < 1000 {
		run.spans = append(run.spans, made)
	}
	return made
}

func (one *span) set(name string, value any) {
	one.run.mutex.Lock()
	defer one.run.mutex.Unlock()
	if storable(value) {
		one.attributes[name] = value
	}
}

func (one *span) finish() {
	one.run.mutex.Lock()
	defer one.run.mutex.Unlock()
	if one.end.IsZero() {
		one.end = time.Now()
	}
}

// moment is counted from the start on the clock that nobody sets: an end never comes before its start.
func (run *Run) moment(at time.Time) string {
	return run.start.Round(0).Add(at.Sub(run.start)).UTC().Format("2006-01-02T15:04:05.000000Z")
}

// storable is whether the server takes a value: one that it refused would cost the whole session.
func storable(value any) bool {
	switch one := reflect.ValueOf(value); one.Kind() {
	case reflect.String:
		text := one.String()
		return utf8.ValidString(text) && utf8.RuneCountInString(text) <= 4096 && !strings.Contains(text, "\x00")
	case reflect.Float64:
		return one.Float()-one.Float() == 0 // neither infinite nor not a number
	}
	return true
}

func collected(path string) bool {
	for _, one := range collects {
		if one == path {
			return true
		}
	}
	return false
}

// Consent

func word(value string, words ...string) bool {
	for _, one := range words {
		if strings.EqualFold(strings.TrimSpace(value), one) {
			return true
		}
	}
	return false
}

// decide is the table of rules of the specification: the first that applies decides.
func decide(config Config, directory string) (string, bool) {
	choice := os.Getenv(variable)
	switch {
	case !word(os.Getenv("DO_NOT_TRACK"), "", "0", "false", "no", "off"):
		return "DO_NOT_TRACK", false
	case !word(choice, "", "1", "true", "yes", "on"):
		return "variable=0", false
	case forbidden():
		return "project", false
	case completes():
		return "completion", false
	case config.Endpoint == "":
		return "endpoint", false
	case directory == "" || !ours(directory):
		return "place", false
	}
	answer, paths := remembered(directory)
	switch {
	case answer == "retired":
		return "retired", false
	case !word(choice, ""):
		return "variable=1", true
	case answer == "denied":
		return "denied", false
	case answer == "allowed" && len(more(paths)) > 0:
		return "more", false
	case answer == "allowed":
		return "allowed", true
	}
	return "unasked", false
}

func forbidden() bool {
	for here, _ := os.Getwd(); here != ""; here = filepath.Dir(here) {
		if _, err := os.Lstat(filepath.Join(here, ".do-not-track")); err == nil {
			return true
		}
		if here == filepath.Dir(here) {
			break
		}
	}
	return false
}

func completes() bool {
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if word(name, "COMP_LINE", "COMP_WORDS") || strings.HasPrefix(name, "_") && strings.HasSuffix(name, "_COMPLETE") {
			return true
		}
	}
	return len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "__complete")
}

// usable is the endpoint without a slash at its end; empty unless it is https, or http to this very machine.
func usable(endpoint string) string {
	scheme, rest, found := strings.Cut(endpoint, "://")
	place, _, _ := strings.Cut(rest, "/")
	host := place
	if at := strings.LastIndex(place, ":"); at >= 0 && !strings.HasSuffix(place, "]") {
		host = place[:at]
		if _, err := strconv.ParseUint(place[at+1:], 10, 16); err != nil {
			return ""
		}
	}
	printable := strings.IndexFunc(endpoint, func(one rune) bool { return one <= ' ' || one > '~' }) < 0
	if !found || host == "" || !printable || strings.ContainsAny(endpoint, "?#@\\") {
		return ""
	}
	if !word(scheme, "https") && !(word(scheme, "http") && word(host, "localhost", "127.0.0.1", "[::1]")) {
		return ""
	}
	return strings.TrimRight(strings.ToLower(scheme)+"://"+rest, "/")
}

func remembered(directory string) (string, []string) {
	data, _ := os.ReadFile(filepath.Join(directory, "consent"))
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return lines[0], lines[1:]
}

func more(paths []string) []string {
	known, found := map[string]bool{}, []string{}
	for _, path := range paths {
		known[path] = true
	}
	for _, path := range collects {
		if !known[path] {
			found = append(found, path)
		}
	}
	return found
}

func remember(directory, answer string) error {
	text := answer + "\n"
	if answer == "allowed" {
		return write(filepath.Join(directory, "consent"), []byte(text+strings.Join(collects, "\n")+"\n"))
	}
	for _, name := range []string{"queue", "aside"} {
		os.RemoveAll(filepath.Join(directory, name))
	}
	if write(filepath.Join(directory, "consent"), []byte(text)) == nil {
		return nil
	}
	return os.Remove(filepath.Join(directory, "consent")) // a full disk: better to ask again than to keep a yes
}

func terminal(file *os.File) bool {
	info, err := file.Stat()
	null, _ := os.Stat(os.DevNull)
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && (null == nil || !os.SameFile(info, null))
}

func mayAsk(config Config) bool {
	if config.Prompt == "" || os.Getenv("CI") != "" || !terminal(os.Stdin) || !terminal(os.Stdout) || !terminal(os.Stderr) {
		return false
	}
	for _, argument := range os.Args[1:] {
		if word(argument, "--json", "--help", "-h", "--version", "telemetry") {
			return false
		}
	}
	if runtime.GOOS == "windows" {
		return true
	}
	// In the background, reading from the terminal would stop the run.
	said, err := exec.Command("ps", "-o", "pgid=,tpgid=", "-p", strconv.Itoa(os.Getpid())).Output()
	fields := strings.Fields(string(said))
	return (err != nil || len(fields) != 2 || fields[0] == fields[1]) && !typedAhead()
}

// typedAhead is whether something was typed already: it is meant for the shell, which reads it after this run. A line
// that is not finished shows only while the terminal does not wait for its end.
func typedAhead() bool {
	look := exec.Command("sh", "-c", `waits() {
		bash -c '((BASH_VERSINFO >= 4)) && read -t 0' || zsh -fc 'zmodload zsh/zselect && zselect -t 0 -r 0'
	}
	waits && exit
	saved=$(stty -g) && stty -icanon min 1 || exit
	waits
	typed=$?
	stty "$saved"
	exit $typed`)
	look.Stdin = os.Stdin
	return look.Run() == nil
}

func ask(config Config) bool {
	fmt.Fprintln(os.Stderr, config.Prompt)
	if answer, paths := remembered(stateDirectory()); answer == "allowed" {
		fmt.Fprintf(os.Stderr, "New since you last said yes: %s.\n", strings.Join(more(paths), ", "))
	}
	if config.Link != "" {
		fmt.Fprintf(os.Stderr, "What is collected and why: %s\n", config.Link)
	}
	fmt.Fprint(os.Stderr, "Send it? [yes/no] ")
	typed, _ := bufio.NewReader(io.LimitReader(os.Stdin, 100)).ReadString('\n')
	switch {
	case word(typed, "y", "yes"):
		return remember(stateDirectory(), "allowed") == nil
	case word(typed, "n", "no"):
		remember(stateDirectory(), "denied")
	default:
		fmt.Fprintln(os.Stderr, "That is neither a yes nor a no. Nothing is sent, and you will be asked again.")
	}
	return false
}

// Files

func stateDirectory() string {
	home, _ := os.UserHomeDir()
	base := os.Getenv("XDG_STATE_HOME")
	if runtime.GOOS == "windows" {
		if base = os.Getenv("LOCALAPPDATA"); base == "" {
			base = filepath.Join(home, "AppData", "Local")
		}
	} else if !filepath.IsAbs(base) {
		base = filepath.Join(home, ".local", "state")
		if runtime.GOOS == "darwin" {
			base = filepath.Join(home, "Library", "Application Support")
		}
	}
	if !filepath.IsAbs(base) {
		return ""
	}
	return filepath.Join(base, application, "telemetry-go")
}

// ours is whether every directory above belongs to this user or to root: root leaves no files in somebody's home.
func ours(place string) bool {
	me := os.Geteuid()
	for me >= 0 {
		if info, err := os.Stat(place); err == nil {
			// By its name: the type of Sys is another one on each system.
			owner := int(reflect.ValueOf(info.Sys()).Elem().FieldByName("Uid").Uint())
			if owner != 0 && owner != me {
				return false
			}
			if owner == me && me != 0 {
				break
			}
		}
		if place == filepath.Dir(place) {
			break
		}
		place = filepath.Dir(place)
	}
	return true
}

// write puts a file in place whole or not at all, readable for its owner alone.
func write(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	half := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+uuid())
	err := os.WriteFile(half, data, 0o600)
	if err == nil {
		err = os.Rename(half, path)
	}
	if err != nil {
		os.Remove(half)
	}
	return err
}

func isID(text string) bool {
	return regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(text)
}

func uuid() string { // of version 4
	var id [16]byte
	rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

func userID(directory string) (string, error) {
	path := filepath.Join(directory, "id")
	if known, _ := os.ReadFile(path); isID(string(known)) {
		return string(known), nil
	}
	made := uuid()
	return made, write(path, []byte(made))
}

// waiting are the names of the files that wait, oldest first: when the session began, its bytes, its id.
func waiting(directory string) []string {
	found := []string{}
	entries, _ := os.ReadDir(filepath.Join(directory, "queue"))
	for _, entry := range entries {
		if name := entry.Name(); len(strings.Split(name, "-")) == 7 && strings.HasSuffix(name, ".json") && name[0] != '.' {
			found = append(found, name)
		}
	}
	sort.Strings(found)
	return found
}

func fileName(began time.Time, bytes int, id string) string {
	return fmt.Sprintf("%015d-%d-%s.json", max(began.UnixMilli(), 0), bytes, id)
}

func began(name string) time.Time {
	milliseconds, _ := strconv.ParseInt(strings.SplitN(name, "-", 2)[0], 10, 64)
	return time.UnixMilli(milliseconds)
}

func size(name string) int {
	bytes, _ := strconv.Atoi(strings.SplitN(name, "-", 3)[1])
	return bytes
}

func sessionID(name string) string {
	return strings.TrimSuffix(strings.SplitN(name, "-", 3)[2], ".json")
}

// due is whether what waits is worth a process and a request.
func due(names []string, now time.Time) bool {
	return len(names) >= many || len(names) > 0 && now.Sub(began(names[0])).Abs() >= oldEnough
}

// surplus is how many of the oldest files must go so that a session of so many bytes has room.
func surplus(names []string, bytes int) int {
	for _, name := range names {
		bytes += size(name)
	}
	gone := 0
	for ; gone < len(names) && (len(names)-gone >= mostFiles || bytes > mostBytes); gone++ {
		bytes -= size(names[gone])
	}
	return gone
}

// document is the session as it is sent.
func (run *Run) document(id, user string, now time.Time) ([]byte, error) {
	events, spans := run.events, []map[string]any{}
	if events == nil {
		events = []map[string]any{}
	}
	for _, one := range run.spans {
		if one.end.IsZero() {
			one.end = now
		}
		spans = append(spans, map[string]any{"type": one.kind, "startTime": run.moment(one.start), "endTime": run.moment(one.end),
			"attributes": one.attributes})
	}
	return json.Marshal(map[string]any{
		"sessionId": id, "userId": user, "applicationId": application, "applicationVersion": normal(run.config.Version),
		"sessionStartTime": run.moment(run.start), "sessionEndTime": run.moment(now),
		"attributes": run.attributes, "events": events, "spans": spans,
	})
}

// A version as the server takes it, and as Python's standard (PEP 440) has it.
const (
	takenVersion = `^[0-9]+(\.[0-9]+){0,2}$|^[0-9]+\.[0-9]+\.[0-9]+(-[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)?` +
		`(\+[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)?$`
	pythonVersion = `(?s)^v?(?:([0-9]+)!)?([0-9]+(?:\.[0-9]+)*)` +
		`(?:[._-]?(alpha|a|beta|b|preview|pre|rc|c)(?:[._-]?([0-9]+))?)?` +
		`(?:-([0-9]+)|[._-]?(post|rev|r)(?:[._-]?([0-9]+))?)?(?:[._-]?(dev)(?:[._-]?([0-9]+))?)?(?:\+(.*))?$`
)

// normal is a version in the form that the server takes, by the rules of the specification.
func normal(version string) string {
	version = strings.TrimSpace(version)
	if regexp.MustCompile(takenVersion).MatchString(version) {
		return version
	}
	found := regexp.MustCompile(pythonVersion).FindStringSubmatch(strings.ToLower(version))
	if found == nil || found[10] != "" && clean(found[10]) == "" {
		return nearest(strings.TrimPrefix(version, "v"))
	}
	number := func(text string) string { // without zeros before it
		if text = strings.TrimLeft(text, "0"); text == "" {
			return "0"
		}
		return text
	}
	numbers := strings.Split(found[2], ".")
	for at, one := range numbers {
		numbers[at] = number(one)
	}
	more := append([]string{}, numbers[min(3, len(numbers)):]...)
	for len(more) > 0 && more[len(more)-1] == "0" {
		more = more[:len(more)-1]
	}
	head, build, dev := []string{}, []string{}, []string{}
	if name := found[3]; name != "" {
		if short := map[string]string{"alpha": "a", "beta": "b", "preview": "rc", "pre": "rc", "c": "rc"}[name]; short != "" {
			name = short
		}
		head = []string{name, number(found[4])}
	}
	if found[8] != "" {
		dev = []string{"dev", number(found[9])}
	}
	post := found[5] + found[6]
	if found[1] != "" && number(found[1]) != "0" {
		build = append(build, "epoch", number(found[1]))
	}
	if len(more) > 0 {
		build = append(append(build, "rev"), more...)
	}
	if post != "" {
		build = append(build, "post", number(found[5]+found[7]))
	}
	if len(head) > 0 || post != "" {
		build = append(build, dev...)
	} else if len(dev) > 0 {
		head = append([]string{"0"}, dev...)
	}
	if local := clean(found[10]); regexp.MustCompile(`^(epoch|rev|post|dev|local|[0-9]+)([.-]|$)`).MatchString(local) {
		build = append(build, "local", local)
	} else if local != "" {
		build = append(build, local)
	}
	if len(head) == 0 && len(build) == 0 {
		return strings.Join(numbers[:min(3, len(numbers))], ".")
	}
	return joined(numbers, strings.Join(head, "."), strings.Join(build, "."))
}

// nearest is the numbers at the beginning of what is no version, and what follows them behind a hyphen.
func nearest(version string) string {
	found := regexp.MustCompile(`(?s)^([0-9]+(?:\.[0-9]+){0,2})?\.*([^+]*)\+?(.*)$`).FindStringSubmatch(version)
	extra, build := clean(found[2]), clean(found[3])
	if extra == "" && build == "" && found[1] != "" {
		return found[1]
	}
	return joined(strings.FieldsFunc(found[1], func(one rune) bool { return one == '.' }), extra, build)
}

func joined(numbers []string, head, build string) string {
	text := strings.Join(append(numbers, "0", "0", "0")[:3], ".")
	if head != "" {
		text += "-" + head
	}
	if build != "" {
		text += "+" + build
	}
	return text
}

func clean(text string) string {
	text = strings.Trim(regexp.MustCompile(`[^A-Za-z0-9.-]`).ReplaceAllString(text, "-"), ".-")
	return strings.Trim(text[:min(60, len(text))], ".-")
}

func (run *Run) keep(directory string) {
	user, err := userID(directory)
	if err != nil {
		return
	}
	id := uuid()
	session, err := run.document(id, user, time.Now())
	if err != nil || len(session) > batchBytes {
		return
	}
	left := waiting(directory)
	for gone := surplus(left, len(session)); gone > 0; gone-- {
		os.Remove(filepath.Join(directory, "queue", left[0]))
		left = left[1:]
	}
	own := fileName(run.start, len(session), id)
	if write(filepath.Join(directory, "queue", own), session) != nil {
		return
	}
	if run.config.Inline || os.Getenv("CI") != "" || os.Getpid() == 1 {
		start(run.config, directory, "", inlineWait)
	} else if due(left, time.Now()) {
		start(run.config, directory, own, 0)
	}
}

// Uploads

// start starts the process that sends. leave names a file that it must not send.
func start(config Config, directory, leave string, wait time.Duration) {
	program, err := os.Executable()
	if err != nil || pause(directory) > 0 {
		return
	}
	child := exec.Command(program, "telemetry", "flush")
	child.Dir = filepath.VolumeName(program) + string(filepath.Separator)
	child.Env = []string{variable + "_UPLOADS=" + leave + "\n" + directory + "\n" + config.Endpoint}
	for _, name := range []string{"SYSTEMROOT", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"} {
		if value, found := os.LookupEnv(name); found {
			child.Env = append(child.Env, name+"="+value)
		}
	}
	// By their names: each system has its own, and this file is for all of them.
	child.SysProcAttr = &syscall.SysProcAttr{}
	attributes := reflect.ValueOf(child.SysProcAttr).Elem()
	if field := attributes.FieldByName("Setsid"); field.IsValid() {
		field.SetBool(true)
	} else if field := attributes.FieldByName("CreationFlags"); field.IsValid() {
		field.SetUint(0x8000000 | 0x200) // no window; Ctrl-C in the tool's console is not meant for it
	}
	if child.Start() != nil || wait == 0 {
		return
	}
	done := make(chan error, 1)
	go func() { done <- child.Wait() }()
	select {
	case <-done:
	case <-time.After(wait):
	}
}

// lock is a file that its holder removes, and that counts for nothing once its holder must have ended.
func lock(directory string) bool {
	path := filepath.Join(directory, "lock")
	if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()).Abs() > lifetime+30*time.Second {
		os.Remove(path)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return false
	}
	file.Close()
	return true
}

func pause(directory string) time.Duration {
	info, err := os.Stat(filepath.Join(directory, "retry"))
	if err != nil || time.Until(info.ModTime()) > 24*time.Hour {
		return 0
	}
	return time.Until(info.ModTime())
}

// delay is how long a server is left alone after so many failures in a row. chance is from 0 to 1.
func delay(failures int, chance float64) time.Duration {
	wait := min(firstDelay<<min(failures-1, 20), longest)
	return time.Duration(float64(wait) * (1 + chance) / 2)
}

func putOff(directory string, asked string) {
	path := filepath.Join(directory, "retry")
	text, _ := os.ReadFile(path)
	failures, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	failures = min(max(failures, 0), 99) + 1
	wait := delay(failures, mathrand.Float64())
	if seconds, err := strconv.Atoi(asked); err == nil && seconds >= 0 {
		wait = min(time.Duration(min(seconds, 86_400))*time.Second, longest)
	} else if moment, err := http.ParseTime(asked); err == nil {
		wait = min(max(time.Until(moment), 0), longest)
	}
	if write(path, []byte(strconv.Itoa(failures)+"\n")) == nil {
		os.Chtimes(path, time.Now().Add(wait), time.Now().Add(wait))
	}
}

func note(directory, line string) {
	file, err := os.OpenFile(filepath.Join(directory, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		fmt.Fprintf(file, "%s  %s\n", time.Now().UTC().Format("2006-01-02T15:04:05Z"), line)
		file.Close()
	}
}

// upload sends what waits in random order; the first failure ends it. A user who asked for it need not wait.
func upload(directory, endpoint, leave string, asked bool) string {
	if !lock(directory) {
		return "another process is sending"
	}
	defer os.Remove(filepath.Join(directory, "lock"))
	if !asked && pause(directory) > 0 {
		return "" // a process before this one has failed meanwhile
	}
	names := []string{}
	for _, name := range waiting(directory) {
		if name != leave {
			names = append(names, name)
		}
	}
	mathrand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	batches := [][]string{}
	for ; len(names) > 0; names = names[min(batchSize, len(names)):] {
		batches = append(batches, names[:min(batchSize, len(names))])
	}
	for len(batches) > 0 {
		batch := batches[0]
		batches = batches[1:]
		smaller, failure := send(directory, endpoint, batch)
		batches = append(batches, smaller...)
		if failure != "" {
			note(directory, "failed  "+failure)
			for _, name := range waiting(directory) {
				if time.Since(began(name)) > giveUp {
					os.Remove(filepath.Join(directory, "queue", name))
				}
			}
			return failure
		}
	}
	return ""
}

type result struct {
	Line      int
	SessionID string `json:"sessionId"`
	Status    int
}

func send(directory, endpoint string, names []string) (smaller [][]string, failure string) {
	var body bytes.Buffer
	writer, batch, total := gzip.NewWriter(&body), []string{}, 0
	for at, name := range names {
		line, err := os.ReadFile(filepath.Join(directory, "queue", name))
		if err != nil {
			continue
		}
		if !json.Valid(line) || bytes.ContainsRune(line, '\n') {
			aside(directory, name) // torn by a power cut
			continue
		}
		if len(batch) > 0 && total+len(line) > batchBytes {
			smaller = append(smaller, names[at:])
			break
		}
		writer.Write(append(line, '\n'))
		batch, total = append(batch, name), total+len(line)
	}
	writer.Close()
	if len(batch) == 0 {
		return smaller, ""
	}
	request, err := http.NewRequest("POST", endpoint+"/v1/sessions", &body)
	if err != nil {
		return nil, err.Error()
	}
	request.Header.Set("Content-Type", "application/x-ndjson")
	request.Header.Set("Content-Encoding", "gzip")
	client := http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	answer, err := client.Do(request)
	if err != nil {
		putOff(directory, "")
		return nil, "no answer"
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<20))
	var read struct {
		Message *string
		Results []result
	}
	json.Unmarshal(said, &read)
	switch {
	case answer.StatusCode == 410:
		remember(directory, "retired")
		return nil, "410 the tool is retired"
	case answer.StatusCode == 200 && matches(read.Results, batch):
		later := false
		for at, one := range read.Results {
			switch one.Status {
			case 201, 304:
				os.Remove(filepath.Join(directory, "queue", batch[at]))
				note(directory, fmt.Sprintf("%d  %s", one.Status, one.SessionID))
			case 400, 413:
				aside(directory, batch[at])
			case 410:
				remember(directory, "retired")
				return nil, "410 the tool is retired"
			case 429, 503:
				later = true
			}
		}
		if later {
			putOff(directory, answer.Header.Get("Retry-After"))
			return nil, "the server asked to wait"
		}
		os.Remove(filepath.Join(directory, "retry"))
		return smaller, ""
	case answer.StatusCode == 413 || answer.StatusCode == 400 && read.Message != nil:
		if len(batch) == 1 {
			aside(directory, batch[0])
			return smaller, ""
		}
		return append(smaller, batch[:len(batch)/2], batch[len(batch)/2:]), ""
	}
	asked := ""
	if answer.StatusCode == 429 || answer.StatusCode == 503 {
		asked = answer.Header.Get("Retry-After")
	}
	putOff(directory, asked)
	return nil, strconv.Itoa(answer.StatusCode)
}

func matches(results []result, batch []string) bool {
	if len(results) != len(batch) {
		return false
	}
	for at, one := range results {
		if one.Line != at+1 || (one.Status == 201 || one.Status == 304) && one.SessionID != sessionID(batch[at]) {
			return false
		}
	}
	return true
}

func aside(directory, name string) {
	os.MkdirAll(filepath.Join(directory, "aside"), 0o700)
	os.Rename(filepath.Join(directory, "queue", name), filepath.Join(directory, "aside", sessionID(name)+".json"))
	note(directory, "refused  "+sessionID(name))
}

// Command runs `telemetry …` for the tool's users; its exit code. arguments are those after `telemetry`.
func Command(config Config, arguments []string) int {
	if given := os.Getenv(variable + "_ENDPOINT"); given != "" {
		config.Endpoint = given
	}
	config.Endpoint = usable(config.Endpoint)
	directory, action := stateDirectory(), "status"
	if len(arguments) > 0 {
		action = arguments[0]
	}
	if directory == "" || (action == "on" || action == "off" || action == "reset") && !ours(directory) {
		fmt.Fprintln(os.Stderr, "telemetry: off, because there is no directory of yours to write to")
		return 1
	}
	rule, allowed := decide(config, directory)
	var err error
	switch action {
	case "status":
		fmt.Printf("telemetry: %s, by the rule %s\nsent to:   %s\nwaiting:   %d\nfiles:     %s\n",
			map[bool]string{true: "on", false: "off"}[allowed], rule, config.Endpoint, len(waiting(directory)), directory)
	case "on":
		if err = remember(directory, "allowed"); err == nil {
			_, err = userID(directory)
		}
	case "off":
		err = remember(directory, "denied")
	case "show":
		for _, name := range waiting(directory) {
			data, _ := os.ReadFile(filepath.Join(directory, "queue", name))
			fmt.Printf("%s\n", data)
		}
	case "log", "id":
		data, _ := os.ReadFile(filepath.Join(directory, action))
		known := strings.TrimSpace(string(data))
		fmt.Println(known)
		if action == "id" && known != "" {
			code := sha256.Sum256([]byte(known))
			fmt.Fprintf(os.Stderr, "telemetry: to ask for deletion, give this code instead of the id, even in public: %x\n", code)
		}
	case "flush":
		if !allowed {
			fmt.Printf("telemetry: nothing is sent: it is off, by the rule %s\n", rule)
			return 1
		}
		if failure := upload(directory, config.Endpoint, "", true); failure != "" {
			fmt.Printf("telemetry: %s\n", failure)
			return 1
		}
	case "reset":
		for _, name := range []string{"queue", "aside", "id", "log"} {
			os.RemoveAll(filepath.Join(directory, name))
		}
	default:
		fmt.Fprintln(os.Stderr, "usage: telemetry [status|on|off|show|flush|log|id|reset]")
		return 2
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "telemetry: %v\n", err)
		return 1
	}
	return 0
}

// What the registry declares.

const application = "my-tool"
const variable = "MY_TOOL_TELEMETRY"

var collects = []string{"attributes.exitCode"}
