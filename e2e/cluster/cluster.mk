# The cluster that tests and the demo use; included by the Makefile of the root.
#
#   CLUSTER=local    (default) a real one-node Kubernetes that e2e/cluster starts here
#   CLUSTER=current  the current context of your own kubeconfig; nothing is started,
#                    stopped or loaded (recipe for kind: e2e/cluster/README.md)

CLUSTER ?= local
cluster_dir := $(dir $(lastword $(MAKEFILE_LIST)))

ifeq ($(filter local current,$(CLUSTER)),)
$(error CLUSTER must be local or current, not '$(CLUSTER)')
endif

.PHONY: cluster-build cluster-up cluster-down cluster-status kubeconfig load

ifeq ($(CLUSTER),local)

cluster-build: ## build what the local cluster is made of (about 20 min the first time)
	@$(cluster_dir)build.sh

cluster-up: ## start the local cluster, or complete a half-started one
	@$(cluster_dir)up.sh

cluster-down: ## stop the local cluster and remove all of it
	@$(cluster_dir)down.sh

cluster-status: ## what of the local cluster runs
	@$(cluster_dir)status.sh

kubeconfig: ## print the path of the cluster's kubeconfig file
	@$(cluster_dir)kubeconfig.sh

load: ## import an OCI image archive into the cluster: make load IMAGE=file.tar
	@test -n "$(IMAGE)" || { echo "usage: make load IMAGE=file.tar" >&2; exit 2; }
	@$(cluster_dir)load.sh $(IMAGE)

else

cluster-build:
	@echo "CLUSTER=current: nothing to build"

cluster-up cluster-status:
	@context=$$(kubectl config current-context) && echo "using the current context $$context" && \
	  kubectl --request-timeout=10s get nodes

cluster-down:
	@echo "CLUSTER=current: the cluster is yours and is left as it is"

kubeconfig:
	@files="$${KUBECONFIG:-$$HOME/.kube/config}"; \
	  case "$$files" in *:*) echo "KUBECONFIG names several files; set it to one" >&2; exit 1;; esac; \
	  test -r "$$files" || { echo "no kubeconfig file at $$files" >&2; exit 1; }; echo "$$files"

load:
	@echo "CLUSTER=current: load $(IMAGE) with the tool of your cluster, e.g. kind load image-archive $(IMAGE)" >&2; exit 1

endif
