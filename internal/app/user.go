package app

import (
	"net/http"
	"os"

	"go.yaml.in/yaml/v4"

	"portscan_exporter/internal/server"
)

// user says who asks, for the audit file: by the certificate that a client has
// proved to be its own, or by the name that came with a password. The toolkit lets
// nobody by without the right one where its file has users, and looks at none where
// it has not: then anybody may claim any name, and it is not believed.
func (e *exporter) user(r *http.Request) string {
	if e.audit == nil {
		return ""
	}
	name, _, given := r.BasicAuth()
	if given && asksForPasswords(*e.flags.serve.web.WebConfigFile) {
		return name
	}
	return server.CertifiedUser(r)
}

// asksForPasswords tells whether the toolkit's file has users. It is read at each
// request, as the toolkit does.
func asksForPasswords(file string) bool {
	if file == "" {
		return false
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	var web struct {
		Users map[string]any `yaml:"basic_auth_users"`
	}
	return yaml.Unmarshal(data, &web) == nil && len(web.Users) > 0
}
