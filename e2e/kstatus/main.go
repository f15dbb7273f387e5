// Reads golden objects and tells whether kstatus, the library behind `helm --wait` and Flux, says of each what its file name claims.
//
// usage: kstatus FOLDER...   files are named STATUS.case.json, with STATUS one of InProgress, Current, Failed
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

func check(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	object := unstructured.Unstructured{}
	if err := object.UnmarshalJSON(text); err != nil {
		return err
	}
	found, err := status.Compute(&object)
	if err != nil {
		return err
	}
	expected, _, _ := strings.Cut(filepath.Base(path), ".")
	if found.Status.String() != expected {
		return fmt.Errorf("kstatus says %s (%s)", found.Status, found.Message)
	}
	return nil
}

func main() {
	passed, failed := 0, 0
	for _, folder := range os.Args[1:] {
		files, err := filepath.Glob(filepath.Join(folder, "*.json"))
		if err != nil || len(files) == 0 {
			fmt.Println("no golden objects in", folder, err)
			os.Exit(2)
		}
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".json")
			if err := check(file); err != nil {
				failed++
				fmt.Printf("test %s ... FAILED: %v\n", name, err)
				continue
			}
			passed++
			fmt.Printf("test %s ... ok\n", name)
		}
	}
	verdict := "ok"
	if failed > 0 {
		verdict = "FAILED"
	}
	fmt.Printf("test result: %s. %d passed; %d failed; 0 ignored\n", verdict, passed, failed)
	if failed > 0 {
		os.Exit(1)
	}
}
