// Judges of our resources and artefacts that are not ours, behind one command line:
//
//	judges kstatus < OBJECTS          what Flux and kustomize's appliers make of each object (github.com/fluxcd/cli-utils)
//	judges argo health.lua < OBJECTS  what Argo CD makes of each with this script (github.com/yuin/gopher-lua, as Argo CD runs it)
//	judges registry LAYOUT NAME       serves an OCI image layout from a registry on the loopback interface, and prints its address
//
// OBJECTS is a JSON list; the answer is a JSON list of {status, message}, in the same order.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func main() {
	log.SetFlags(0)
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == "kstatus":
		err = judge(kstatus)
	case len(os.Args) == 3 && os.Args[1] == "argo":
		var script []byte
		if script, err = os.ReadFile(os.Args[2]); err == nil {
			err = judge(func(object map[string]any) (verdict, error) { return argo(string(script), object) })
		}
	case len(os.Args) == 4 && os.Args[1] == "registry":
		err = serve(os.Args[2], os.Args[3])
	default:
		log.Fatal("usage: judges kstatus | judges argo SCRIPT | judges registry LAYOUT NAME")
	}
	if err != nil {
		log.Fatal(err)
	}
}

func judge(one func(map[string]any) (verdict, error)) error {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	var objects []map[string]any
	if err := json.Unmarshal(input, &objects); err != nil {
		return err
	}
	verdicts := make([]verdict, 0, len(objects))
	for _, object := range objects {
		each, err := one(object)
		if err != nil {
			return err
		}
		verdicts = append(verdicts, each)
	}
	return json.NewEncoder(os.Stdout).Encode(verdicts)
}

func kstatus(object map[string]any) (verdict, error) {
	result, err := status.Compute(&unstructured.Unstructured{Object: integers(object).(map[string]any)})
	if err != nil {
		return verdict{}, err
	}
	return verdict{Status: string(result.Status), Message: result.Message}, nil
}

// integers makes whole numbers int64, as Kubernetes' own decoder does.
func integers(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, each := range value {
			value[key] = integers(each)
		}
	case []any:
		for index, each := range value {
			value[index] = integers(each)
		}
	case float64:
		if value == float64(int64(value)) {
			return int64(value)
		}
	}
	return value
}

// argo runs a health script as util/lua of Argo CD does by default: package, base and table libraries, one second, the global obj, a table returned.
func argo(script string, object map[string]any) (verdict, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}} {
		if err := state.CallByParam(lua.P{Fn: state.NewFunction(library.open), NRet: 0, Protect: true}, lua.LString(library.name)); err != nil {
			return verdict{}, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(ctx)
	state.SetGlobal("obj", toLua(state, object))
	if err := state.DoString(script); err != nil {
		return verdict{}, err
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return verdict{}, fmt.Errorf("the script returned %s, not a table", state.Get(-1).Type())
	}
	return verdict{Status: table.RawGetString("status").String(), Message: table.RawGetString("message").String()}, nil
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case map[string]any:
		table := state.CreateTable(0, len(value))
		for key, each := range value {
			table.RawSetString(key, toLua(state, each))
		}
		return table
	case []any:
		table := state.CreateTable(len(value), 0)
		for _, each := range value {
			table.Append(toLua(state, each))
		}
		return table
	case bool:
		return lua.LBool(value)
	case float64:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	}
	return lua.LNil
}

func serve(folder, repository string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() { log.Fatal(http.Serve(listener, registry.New(registry.Logger(log.New(io.Discard, "", 0))))) }()
	index, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		return err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, descriptor := range manifest.Manifests {
		tag := descriptor.Annotations["org.opencontainers.image.ref.name"]
		reference, err := name.NewTag(fmt.Sprintf("%s/%s:%s", listener.Addr(), repository, tag), name.Insecure)
		if err != nil {
			return err
		}
		image, err := index.Image(descriptor.Digest)
		if err != nil {
			return err
		}
		if err := remote.Write(reference, image); err != nil {
			return err
		}
	}
	fmt.Println(listener.Addr())
	// Until whoever started it closes its input.
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
