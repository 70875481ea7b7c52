// Runs the vectors of the specification on the package beside it: VECTORS=…/vectors.json go test
package telemetry

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

type vectors struct {
	IDs []struct {
		Text  string
		Valid bool
	}
	Times []struct {
		Microseconds int64
		Sent         string
	}
	Versions, Endpoints []struct{ Given, Sent, Used string }
	Values              []struct {
		Of    string
		Times int
		Kept  bool
	}
	Names []struct {
		Began    int64
		Bytes    int
		ID, Name string
	}
	Limits []struct {
		Waiting        [][2]int
		Bytes, Dropped int
	}
	Due []struct {
		Waiting, Oldest int
		Due             bool
	}
	Delays []struct {
		Failures        int
		Chance, Seconds float64
	}
	Consent []struct {
		Rule, Consent string
		Recorded      bool
		Environment   map[string]string
		ProjectFile   bool
		Endpoint      *string
	}
	Sessions []struct {
		ID, User, Version string
		Start, End        int64
		Attributes        map[string]any
		Events            []struct {
			Type       string
			Time       int64
			Attributes map[string]any
		}
		Spans []struct {
			Type       string
			Start      int64
			End        *int64
			Attributes map[string]any
		}
		Document map[string]any
	}
}

func read(t *testing.T) (all vectors) {
	data, err := os.ReadFile(os.Getenv("VECTORS"))
	if err != nil || json.Unmarshal(data, &all) != nil {
		t.Fatalf("VECTORS: %v", err)
	}
	return all
}

func same(t *testing.T, section string, at int, got, wanted any) {
	t.Helper()
	if !reflect.DeepEqual(got, wanted) {
		t.Errorf("%s[%d]: %v, not %v", section, at, got, wanted)
	}
}

func TestVectors(t *testing.T) {
	all := read(t)
	for at, one := range all.IDs {
		same(t, "ids", at, isID(one.Text), one.Valid)
	}
	same(t, "ids", -1, isID(uuid()), true)
	for at, one := range all.Times {
		run := Run{start: time.Now()}
		same(t, "times", at, run.moment(time.UnixMicro(one.Microseconds)), one.Sent)
	}
	for at, one := range all.Versions {
		same(t, "versions", at, normal(one.Given), one.Sent)
	}
	for at, one := range all.Values {
		same(t, "values", at, storable(strings.Repeat(one.Of, one.Times)), one.Kept)
	}
	for at, one := range []any{math.NaN(), math.Inf(1), "\xff"} {
		same(t, "values of Go", at, storable(one), false)
	}
	for at, one := range all.Names {
		same(t, "names", at, fileName(time.UnixMilli(one.Began), one.Bytes, one.ID), one.Name)
		same(t, "names", at, []any{began(one.Name).UnixMilli(), size(one.Name), sessionID(one.Name)},
			[]any{max(one.Began, 0), one.Bytes, one.ID})
	}
	for at, one := range all.Limits {
		names := []string{}
		for _, some := range one.Waiting {
			for ; some[0] > 0; some[0]-- {
				names = append(names, fileName(time.UnixMilli(int64(len(names))), some[1], uuid()))
			}
		}
		same(t, "limits", at, surplus(names, one.Bytes), one.Dropped)
	}
	for at, one := range all.Due {
		now, names := time.UnixMilli(1_800_000_000_000), []string{}
		for len(names) < one.Waiting {
			names = append(names, fileName(now.Add(-time.Duration(one.Oldest)*time.Second), 2, uuid()))
		}
		same(t, "due", at, due(names, now), one.Due)
	}
	for at, one := range all.Delays {
		same(t, "delays", at, delay(one.Failures, one.Chance).Seconds(), one.Seconds)
	}
	for at, one := range all.Endpoints {
		same(t, "endpoints", at, usable(one.Given), one.Used)
	}
}

func TestConsentOfTheVectors(t *testing.T) {
	for at, one := range read(t).Consent {
		t.Run(one.Rule, func(t *testing.T) {
			home := t.TempDir()
			project := filepath.Join(home, "project")
			os.Mkdir(project, 0o700)
			before, _ := os.Getwd()
			os.Chdir(project)
			t.Cleanup(func() { os.Chdir(before) })
			t.Setenv("HOME", home)
			t.Setenv("XDG_STATE_HOME", filepath.Join(home, "state"))
			for name, value := range one.Environment {
				t.Setenv(name, value)
			}
			endpoint := "https://telemetry.my-tool.dev"
			if one.Endpoint != nil {
				endpoint = *one.Endpoint
			}
			directory := stateDirectory()
			if one.Consent != "" {
				write(filepath.Join(directory, "consent"), []byte(one.Consent))
			}
			if one.ProjectFile {
				os.WriteFile(filepath.Join(home, ".do-not-track"), nil, 0o600)
			}
			rule, recorded := decide(Config{Endpoint: usable(endpoint)}, directory)
			same(t, "consent", at, []any{rule, recorded}, []any{one.Rule, one.Recorded})
		})
	}
}

func TestSessionsOfTheVectors(t *testing.T) {
	for at, one := range read(t).Sessions {
		run := Run{config: Config{Version: one.Version}, recorded: true, attributes: map[string]any{}}
		run.start = time.UnixMicro(one.Start)
		for name, value := range one.Attributes {
			run.set(name, value)
		}
		for _, event := range one.Events {
			moment := run.moment(time.UnixMicro(event.Time))
			run.events = append(run.events, map[string]any{"type": event.Type, "time": moment, "attributes": event.Attributes})
		}
		for _, given := range one.Spans {
			part := &span{run: &run, kind: given.Type, start: time.UnixMicro(given.Start), attributes: given.Attributes}
			if given.End != nil {
				part.end = time.UnixMicro(*given.End)
			}
			run.spans = append(run.spans, part)
		}
		data, err := run.document(one.ID, one.User, time.UnixMicro(one.End))
		var read map[string]any
		if err != nil || strings.Contains(string(data), "\n") || json.Unmarshal(data, &read) != nil {
			t.Fatalf("sessions[%d]: %v %s", at, err, data)
		}
		same(t, "sessions", at, read, one.Document)
	}
}
