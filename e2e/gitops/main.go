// Runs the health checks that are shipped for Argo CD and Flux: the Lua scripts by the interpreter that Argo CD uses, in the folders and with the
// files of its own tests, and the CEL expressions by Flux's own library.
//
// usage: gitops FOLDER   the folder has argocd/GROUP/KIND/{health.lua,health_test.yaml} and flux/{health-check-exprs.yaml,health_check_test.yaml}
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// What Argo CD knows as a health; another word of a script would be an error there.
var known = map[string]bool{"Healthy": true, "Progressing": true, "Degraded": true, "Suspended": true, "Missing": true, "Unknown": true}

type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func read(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return yaml.UnmarshalStrict(text, into)
}

func object(path string) (*unstructured.Unstructured, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	json, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, err
	}
	found := &unstructured.Unstructured{}
	return found, found.UnmarshalJSON(json)
}

// value is a JSON value as Argo CD gives it to a script.
func value(state *lua.LState, from any) lua.LValue {
	switch from := from.(type) {
	case bool:
		return lua.LBool(from)
	case int64:
		return lua.LNumber(from)
	case float64:
		return lua.LNumber(from)
	case string:
		return lua.LString(from)
	case []any:
		table := state.CreateTable(len(from), 0)
		for _, one := range from {
			table.Append(value(state, one))
		}
		return table
	case map[string]any:
		table := state.CreateTable(0, len(from))
		for name, one := range from {
			table.RawSetString(name, value(state, one))
		}
		return table
	default:
		return lua.LNil
	}
}

// judge runs a script with the libraries that Argo CD opens: base, table, string, math.
func judge(script string, about *unstructured.Unstructured) (health, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable, lua.StringLibName: lua.OpenString, lua.MathLibName: lua.OpenMath,
	} {
		if err := state.CallByParam(lua.P{Fn: state.NewFunction(open), NRet: 0, Protect: true}, lua.LString(name)); err != nil {
			return health{}, err
		}
	}
	state.SetGlobal("obj", value(state, about.Object))
	if err := state.DoString(script); err != nil {
		return health{}, err
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return health{}, fmt.Errorf("the script gave %s", state.Get(-1).Type())
	}
	said := health{Status: lua.LVAsString(table.RawGetString("status")), Message: lua.LVAsString(table.RawGetString("message"))}
	if !known[said.Status] {
		return said, fmt.Errorf("Argo CD knows no status %q", said.Status)
	}
	return said, nil
}

type verdicts struct{ passed, failed int }

func (v *verdicts) add(name string, err error) {
	if err != nil {
		v.failed++
		fmt.Printf("test %s ... FAILED: %v\n", name, err)
		return
	}
	v.passed++
	fmt.Printf("test %s ... ok\n", name)
}

func argocd(v *verdicts, folder string) error {
	scripts, err := filepath.Glob(filepath.Join(folder, "*", "*", "health.lua"))
	if err != nil || len(scripts) == 0 {
		return fmt.Errorf("no health.lua in %s", folder)
	}
	for _, path := range scripts {
		place := filepath.Dir(path)
		script, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var cases struct {
			Tests []struct {
				HealthStatus health `json:"healthStatus"`
				InputPath    string `json:"inputPath"`
			} `json:"tests"`
		}
		if err := read(filepath.Join(place, "health_test.yaml"), &cases); err != nil {
			return err
		}
		tested := map[string]bool{}
		for _, test := range cases.Tests {
			input := filepath.Join(place, test.InputPath)
			tested[input] = true
			about, err := object(input)
			if err == nil && about.GetKind() != filepath.Base(place) {
				err = fmt.Errorf("%s is no %s", about.GetKind(), filepath.Base(place))
			}
			if err == nil {
				var said health
				said, err = judge(string(script), about)
				if err == nil && said != test.HealthStatus {
					err = fmt.Errorf("says %+v, expected %+v", said, test.HealthStatus)
				}
			}
			v.add("argocd "+filepath.Base(place)+" "+filepath.Base(test.InputPath), err)
		}
		inputs, _ := filepath.Glob(filepath.Join(place, "testdata", "*.yaml"))
		for _, input := range inputs {
			if !tested[input] {
				v.add("argocd "+input, fmt.Errorf("no test names it"))
			}
		}
	}
	return nil
}

func flux(v *verdicts, folder string) error {
	var shipped struct {
		Checks []kustomize.CustomHealthCheck `json:"healthCheckExprs"`
	}
	if err := read(filepath.Join(folder, "health-check-exprs.yaml"), &shipped); err != nil {
		return err
	}
	evaluators := map[string]*cel.StatusEvaluator{}
	for _, check := range shipped.Checks {
		evaluator, err := cel.NewStatusEvaluator(&check.HealthCheckExpressions)
		if err != nil {
			return fmt.Errorf("%s: %w", check.Kind, err)
		}
		evaluators[check.APIVersion+"/"+check.Kind] = evaluator
	}
	var cases struct {
		Tests []struct {
			InputPath string `json:"inputPath"`
			Status    string `json:"status"`
		} `json:"tests"`
	}
	if err := read(filepath.Join(folder, "health_check_test.yaml"), &cases); err != nil {
		return err
	}
	for _, test := range cases.Tests {
		about, err := object(filepath.Join(folder, test.InputPath))
		if err == nil {
			evaluator, ok := evaluators[about.GetAPIVersion()+"/"+about.GetKind()]
			if !ok {
				err = fmt.Errorf("no expressions for %s", about.GetKind())
			} else if said, fault := evaluator.Evaluate(context.Background(), about); fault != nil {
				err = fault
			} else if string(said.Status) != test.Status {
				err = fmt.Errorf("says %s, expected %s", said.Status, test.Status)
			}
		}
		v.add("flux "+filepath.Base(filepath.Dir(filepath.Dir(test.InputPath)))+" "+filepath.Base(test.InputPath), err)
	}
	return nil
}

func main() {
	if len(os.Args) != 2 {
		fmt.Println("usage: gitops FOLDER")
		os.Exit(2)
	}
	v := &verdicts{}
	for name, run := range map[string]func(*verdicts, string) error{"argocd": argocd, "flux": flux} {
		if err := run(v, filepath.Join(os.Args[1], name)); err != nil {
			v.add(name, err)
		}
	}
	verdict := "ok"
	if v.failed > 0 {
		verdict = "FAILED"
	}
	fmt.Printf("test result: %s. %d passed; %d failed; 0 ignored\n", verdict, v.passed, v.failed)
	if v.failed > 0 {
		os.Exit(1)
	}
}
