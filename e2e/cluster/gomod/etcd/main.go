// Command etcd is the etcd server, built from its module: the released
// repository has its main package outside every published module.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
