package policy

// sudoPaths are the paths, and with a slash at the end what is below them, that
// need the capability sudo beside that of the request.
var sudoPaths = [...]string{
	"auth/token/accessors",
	"auth/token/accessors/",
	"auth/token/revoke-orphan",
	"auth/token/revoke-orphan/",
	"sys/audit",
	"sys/audit/",
	"sys/auth/",
	"sys/config/auditing/",
	"sys/config/cors",
	"sys/config/ui/headers/",
	"sys/internal/inspect/",
	"sys/leases",
	"sys/leases/lookup/",
	"sys/leases/revoke-force/",
	"sys/leases/revoke-prefix/",
	"sys/plugins/catalog/",
	"sys/plugins/runtimes/catalog/",
	"sys/raw",
	"sys/raw/",
	"sys/remount",
	"sys/revoke-force/",
	"sys/revoke-prefix/",
	"sys/rotate",
	"sys/seal",
	"sys/step-down",
	"sys/storage/raft/snapshot-auto/config/",
}

// NeedsSudo reports whether a rule of the HCL dialect that allows a request on
// path must have the capability sudo too.
func NeedsSudo(path string) bool { return needsSudo([]byte(path)) }

func needsSudo(path []byte) bool {
	if len(path) < 4 || string(path[:4]) != "sys/" && string(path[:4]) != "auth" {
		return false
	}
	for _, p := range sudoPaths {
		if len(path) < len(p) || string(path[:len(p)]) != p {
			continue
		}
		if len(path) == len(p) || p[len(p)-1] == '/' {
			return true
		}
	}
	return false
}
