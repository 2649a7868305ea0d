-- What Debian's package brings, less what bounds clients and speaks to other servers. `peers/prosody` fills it in.
run_as_root = true -- It is started by whoever measures, and listens on loopback only.
data_path = "@directory@/data"
pidfile = "@directory@/prosody.pid"
log = { warn = "@directory@/prosody.log" }

interfaces = { "127.0.0.1" }
c2s_ports = { @starttls@ }
c2s_direct_tls_ports = { @direct_tls@ }
c2s_require_encryption = false
certificates = "@directory@"
ssl = { certificate = "@directory@/clients.pem", key = "@directory@/clients.key" }
network_settings = { tcp_backlog = 1024 }

modules_enabled = {
	"disco"; "roster"; "saslauth"; "tls";
	"blocklist"; "bookmarks"; "carbons"; "csi_simple"; "pep"; "private"; "smacks"; "vcard4"; "vcard_legacy";
	"ping"; "register"; "time"; "uptime"; "version";
	@archive@
}
modules_disabled = { "s2s" }

allow_registration = true
authentication = "internal_hashed"
storage = "internal"
default_archive_policy = true
archive_expires_after = "1w"

VirtualHost "localhost"
