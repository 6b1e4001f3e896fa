#include "cli/verbs.h"

#include "cli/handlers.h"
#include "cli/render.h"

namespace mesh::cli {

namespace {

using Options = std::vector<std::string_view>;

const Argument kScope{.name = "SCOPE", .hint = Hint::scope};
const Argument kReadScope{.name = "SCOPE", .hint = Hint::scope, .choices = "built-in"};
const Argument kMaybeScope{.name = "SCOPE", .hint = Hint::scope, .optional = true, .choices = "built-in"};
const Argument kFile{.name = "NAME", .hint = Hint::word};
const Argument kPath{.name = "PATH", .hint = Hint::file, .optional = true};
const Argument kFolder{.name = "DIR", .hint = Hint::file};
const Argument kSite{.name = "SITE", .hint = Hint::site};
const Argument kNode{.name = "NODE", .hint = Hint::node};
const Argument kAttribute{.name = "ATTRIBUTE", .hint = Hint::attribute};
const Argument kValue{.name = "VALUE", .hint = Hint::value};
const Argument kVersion{
    .name = "VERSION", .hint = Hint::word, .optional = true, .choices = "latest|current"};
const Argument kOld{.name = "OLD", .hint = Hint::word};
const Argument kNew{.name = "NEW", .hint = Hint::word};
const Argument kBlamed{.name = "ATTRIBUTE", .hint = Hint::attribute, .optional = true};
const Argument kName{.name = "NAME", .hint = Hint::word};
const Argument kActivation{.name = "ID", .hint = Hint::activation, .optional = true};

constexpr std::string_view kFormatChoices = "table|wide|json|yaml|jsonl|name";
static_assert(kFormatChoices == kFormats);

/// Of the verbs that run a controller.
constexpr Option kRunningOptions[] = {
    {"data", 0, "DIR", "the directory to make; empty or new", "", Hint::file},
    {"keys", 0, "DIR", "where log.key, controller.key and meshd.toml are", "", Hint::file},
    {"listen", 0, "ENDPOINT", "where to listen; of restore if elsewhere than before"},
    {"enrol", 0, "ENDPOINT", "where new nodes join, if elsewhere than before"},
    {"tree", 0, "DIR", "the working tree of git", "", Hint::file},
    {"list", 0, "", "of all nodes; so without --host"},
    {"host", 0, "NODE", "the variables of one node", "", Hint::node},
    {"node-floor", 0, "N", "the lowest number of the next node"},
    {"version-floor", 0, "N", "the lowest number of the next version"},
};

/// Of `attach` and recovery.
constexpr Option kAttachOptions[] = {
    {"fingerprint", 0, "FINGERPRINT", "whom to admit, without asking; the whole fingerprint, which was compared"},
    {"recovery-out", 0, "FILE", "make a recovery secret that may adopt the node; for administrators", "", Hint::file},
    {"recovery", 0, "FILE", "the same with a secret that is there; one may be for many nodes", "", Hint::file},
    {"none", 0, "", "nobody may adopt the node any more"},
    {"once", 0, "NODE", "end when this node was adopted", "", Hint::node},
    {"replace", 0, "", "other hardware takes the place of a node: its number, addresses and links"},
};

/// Of `simulate`.
constexpr Option kSimulateOptions[] = {
    {"fail", 0, "link A B|node N|site S", "what shall have failed; may be given again", "", Hint::none,
     "link A B|node N|site S"},
    {"reach", 0, "X Y", "whether X reaches Y: nodes, sites, addresses or LANs; exit 1 when not", "", Hint::node,
     "X Y"},
    {"all-pairs", 0, "", "what becomes of all pairs of LANs; so without --reach"},
    {"n-1", 0, "", "the links and nodes whose failure alone would cut LANs off"},
    {"routes", 0, "", "the next hop of every node to every prefix"},
    {"working", 0, "", "with what is not committed yet"},
};

const std::vector<Option>& option_table() {
  static const std::vector<Option> table{
      // Everywhere.
      {"context", 0, "FILE", "who and where: endpoints, keys, identity (MESHCLI_CONTEXT)", "",
       Hint::file},
      {"output", 'o', "FORMAT", "how data is printed", kFormatChoices},
      {"quiet", 'q', "", "no progress, hints and warnings"},
      {"color", 0, "WHEN", "colour on a terminal", "auto|always|never"},
      {"no-input", 0, "", "never ask"},
      {"yes", 'y', "", "go on without asking"},
      {"loglevel", 'l', "LEVEL", "debug shows the wire; warning and error say less",
       "debug|info|warning|error"},
      {"help", 'h', "", "this text"},
      // Changes.
      {"message", 'm', "TEXT", "why; kept in the log"},
      {"ref", 0, "TICKET", "a reference; kept in the log"},
      {"dry-run", 0, "", "say what would happen, change nothing"},
      {"expect-sequence", 0, "N", "refuse when somebody changed something after entry N (exit 6)"},
      {"error-unchanged", 0, "", "exit 3 when nothing changed"},
      {"detailed-exitcode", 0, "", "exit 2 when there are changes"},
      {"prune", 0, "", "also remove what the files do not name"},
      {"force", 0, "", "also when something depends on it"},
      {"include-others", 0, "", "commit what other operators changed in this scope, too"},
      {"with-neighbours", 0, "", "commit nodes at the other end of links, too"},
      {"allow-loss", 0, "", "also when LANs lose each other"},
      {"activate", 0, "", "activate after the commit"},
      {"confirmed", 0, "=TIME", "goes back by itself unless it is confirmed within TIME, 10m by default"},
      {"unconfirmed", 0, "", "for good at once, also where activation_confirm says otherwise"},
      {"health", 0, "LIST", "what confirms it by itself: controller,bgp,bfd,reach:SITE"},
      {"partial", 0, "", "without the nodes that did not apply it: those go back"},
      {"no-wait", 0, "", "do not wait for the nodes"},
      {"timeout", 0, "TIME", "how long to wait, for example 60s or 5m"},
      // Reading.
      {"at", 0, "INSTANT", "as it was then: 1234, -2h, \"2026-01-02 03:04\", a tag, or v3 of the node", "",
       Hint::instant},
      {"good", 0, "INSTANT", "when it still held", "", Hint::instant},
      {"bad", 0, "INSTANT", "when it no longer did", "", Hint::instant},
      {"test", 0, "TEST", "what shall hold: 'reach X Y', 'attribute SCOPE NAME VALUE', 'compiles NODE', 'valid'"},
      {"watch", 'w', "", "show it again and again"},
      {"interval", 0, "TIME", "between two views, at least 1s"},
      {"for", 0, "WHAT", "of wait: version=v5, sequence=12 or health=ok; of --health: how long, for example 30s"},
      {"since", 0, "TIME", "from then on: 2026-01-02T03:04:05Z, or -2h"},
      {"until", 0, "TIME", "up to then", "", Hint::instant},
      {"to", 0, "DIR", "the directory to write; empty or new", "", Hint::file},
      {"actor", 0, "NAME", "by this operator, or \"controller\""},
      {"node", 0, "NODE", "this node", "", Hint::node},
      {"site", 0, "SITE", "this site", "", Hint::site},
      {"type", 0, "EVENT", "with this kind of event, for example AttributeSet"},
      {"grep", 0, "TEXT", "with this text anywhere in it"},
      {"follow", 'f', "", "go on with what comes"},
      {"file", 'f', "FILE", "a file, a directory, or - (standard input); of blame a rendered file, or all", "",
       Hint::file},
      {"limit", 'n', "N", "only the newest N"},
      {"reverse", 0, "", "newest first"},
      // Trust.
      {"from", 0, "PATH", "a controller's data directory on this machine, or a backup", "", Hint::file},
      {"against", 0, "FILE", "checkpoints that were kept elsewhere; may be given again", "", Hint::file},
      {"nodes", 0, "", "compare what the nodes saw"},
      {"uses", 0, "N", "how many nodes may join with it"},
      {"expires", 0, "TIME", "when it stops to be valid, for example 24h, or never"},
      {"approve", 0, "", "joins wait for an approval"},
      {"no-approve", 0, "", "joins need no approval"},
      {"key", 0, "FILE", "the newcomer's public key file", "", Hint::file},
      {"role", 0, "ROLE", "what the operator may do", "viewer|operator|admin"},
      {"sites", 0, "LIST", "only in these sites, separated by commas"},
      {"out", 0, "FILE", "the file to write", "", Hint::file},
  };
  return table;
}

constexpr std::string_view kGlobalOptions[] = {"context",  "output", "quiet",    "color",
                                               "no-input", "yes",    "loglevel", "help"};

constexpr Synonym kVerbSynonyms[] = {{"create", "add"},       {"delete", "del"}, {"remove", "del"},
                                     {"rm", "del"},           {"ls", "list"},    {"query", "show"},
                                     {"show-all", "show_all"}, {"ansible-playbook", "ansible_playbook"}};
constexpr Synonym kNounSynonyms[] = {
    {"sites", "site"},     {"nodes", "node"},       {"site", "sites"},   {"node", "nodes"},
    {"link", "links"},     {"version", "versions"}, {"token", "tokens"}, {"operator", "operators"},
    {"change", "changes"}, {"globals", "global"},   {"tags", "tag"},     {"tag", "tags"},
    {"activation", "activations"}, {"file", "files"}, {"files", "file"}};

/// What only reads can be asked about the past.
Options reading(Options more = {}) {
  Options out{"at"};
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

Options change(Options more = {}) {
  Options out{"message", "ref", "dry-run", "expect-sequence", "error-unchanged"};
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

using Rows = std::vector<Verb>;

// clang-format off

void add_reading(Rows& rows) {
  rows.insert(rows.end(), {
    {"list", "sites", {}, reading(), "the sites", "", list_sites},
    {"list", "nodes", {{.name = "all|SITE", .hint = Hint::site, .optional = true, .choices = "all"}}, reading(),
     "the nodes, of all sites or of one", "", list_nodes},
    {"list", "changed", {}, reading({"detailed-exitcode"}), "the nodes that `commit all` would give a new version", "",
     list_changed},
    {"list", "changes", {}, reading({"detailed-exitcode"}), "what was changed and is not committed, and by whom", "",
     list_changes},
    {"list", "links", {{.name = "NODE", .hint = Hint::node, .optional = true}}, reading(),
     "the links, with the health that the nodes report", "", list_links},
    {"list", "versions", {kNode}, reading(), "the versions of a node", "", list_versions},
    {"list", "tokens", {}, reading(), "the tokens for joining", "", list_tokens},
    {"list", "operators", {}, reading(), "who may do what", "", list_operators},
    {"list", "tags", {}, reading(), "the named instants of history", "", list_tags},
    {"list", "files", {kMaybeScope}, reading(), "the files of all levels, or those that a site or node has",
     "  list files\n  list files node r1.ams     also those that it has from above, each from the nearest level\n"
     "  list files built-in        the program's own templates, below global with routing_style loopback",
     list_files},
    {"list", "activations", {}, reading({"limit"}), "what waits for a confirmation, and what became of others",
     "-n says how many that are over; 10 by default.", list_activations},
    {"show", "global", {}, reading(), "attributes set globally", "", show_level},
    {"show", "site", {kSite}, reading(), "attributes set at a site", "", show_level},
    {"show", "node", {kNode}, reading(), "attributes set at a node", "", show_level},
    {"show", "variables", {kNode}, reading(), "what a node's templates are rendered with",
     "As YAML, also of the past. The number of a peer is an integer key; keys are placeholders, which the router\n"
     "replaces by its own.\n"
     "  show variables r1.ams\n  show variables r1.ams --at -2h -o json", show_variables},
    {"show", "entry", {{.name = "SEQUENCE", .hint = Hint::word}}, {}, "one entry of the log", "", show_entry},
    {"show_all", "global", {}, reading(), "global attributes with the defaults", "", show_effective},
    {"show_all", "site", {kSite}, reading(), "a site's attributes, each with the level it came from", "",
     show_effective},
    {"show_all", "node", {kNode}, reading(), "a node's attributes, each with the level it came from",
     "`-o wide`, json and yaml also show the configuration compiled from them.\n"
     "  show_all node r1.ams --at -2h -o wide", show_effective},
  });
}

/// What is, and what would be.
void add_looking(Rows& rows) {
  rows.insert(rows.end(), {
    {"status", "", {{.name = "N", .hint = Hint::node, .optional = true, .keyword = "node"}},
     reading({"watch", "interval"}),
     "the controller, the nodes and what is under way", "", show_status},
    {"drift", "", {{.name = "N", .hint = Hint::node, .optional = true, .keyword = "node"}}, {"detailed-exitcode"},
     "what was edited on the routers themselves",
     "  drift\n  drift node r1.ams -o json\n"
     "A diff from what shall be (-) to what is (+), as the node saw it last; what is over stays visible for ten\n"
     "minutes. `set global drift heal` has nodes set edits back. Exit 0, with --detailed-exitcode 2 when there are\n"
     "edits.", show_drift},
    {"wait", "node", {kNode}, {"for", "timeout"}, "wait until a node is there",
     "  wait node r1.ams --for version=v5\n  wait node r1.ams --for health=ok --timeout 5m\n"
     "Exit 9 when the time is over.", wait_node},
    {"blame", "global", {kBlamed}, reading(), "who set each global attribute, when and why", "", show_blame},
    {"blame", "site", {kSite, kBlamed}, reading(), "who set each attribute that a site has, when and why", "",
     show_blame},
    {"blame", "node", {kNode, kBlamed}, reading({"file"}),
     "who set each attribute that a node has, or made each line of its files",
     "  blame node r1.ams wg_keepalive      also when it was removed: by whom\n"
     "  blame node r1.ams --file bird.conf  each line with its entry, in the manner of git blame\n"
     "  blame node r1.ams --file all --at -2h", show_blame},
    {"bisect", "", {}, {"good", "bad", "test", "node"}, "the first entry with which something no longer holds",
     "  bisect --good -2h --bad head --test 'reach ams 10.2.0.0/24'\n"
     "  bisect --good v3 --bad v4 --node r1.ams --test 'attribute node r1.ams wg_mtu 1400'\n"
     "Tests: reach X Y (nodes, sites, addresses or LANs), attribute SCOPE NAME VALUE, compiles NODE, valid. Only the\n"
     "model is asked, no network is touched. Exit 7 when good is not good or bad is not bad.", bisect},
    {"simulate", "", {}, reading({"fail", "reach", "all-pairs", "n-1", "routes", "node", "working"}),
     "what becomes of the network when something fails, on the model",
     "  simulate --fail link r1.ams r1.lab --fail node r1.nyc\n"
     "  simulate --fail site ams --reach r1.lab 10.3.0.0/24     exit 1 when it is out of reach\n"
     "  simulate --n-1                                          single points of failure\n"
     "  simulate --routes --node r1.ams                         the next hops that BIRD will choose\n"
     "The network is the committed one, which runs when all is activated; --working takes the uncommitted changes\n"
     "too. Every link and LAN counts as up that is not said to fail. No router is asked.", simulate},
    {"log", "", {},
     reading({"since", "until", "actor", "node", "site", "type", "grep", "follow", "limit", "reverse"}),
     "who did what, when and why",
     "  log --node r1.ams -n 20\n  log --since -2h --actor alice\n  log -f -o jsonl", show_log},
  });
}

void add_changing(Rows& rows) {
  rows.insert(rows.end(), {
    {"add", "site", {kSite}, change(), "add a site", "", add_site},
    {"add", "node", {kNode}, change(), "add a node, as NODE.SITE", "  add node r1.ams", add_node},
    {"add", "tag", {kName, {.name = "INSTANT", .hint = Hint::instant, .optional = true}}, change(),
     "name an instant of history, the newest entry by default",
     "  add tag before-move\n  add tag friday \"2026-01-02 18:00\"", add_tag},
    {"del", "site", {kSite}, change({"force"}), "remove a site", "", delete_site},
    {"del", "node", {kNode}, change({"force"}), "remove a node", "", delete_node},
    {"del", "file", {kScope, kFile}, change(), "remove a file of a level; those above show through again",
     "  del file node r1.ams bird.conf.jinja", delete_file},
    {"del", "tag", {{.name = "NAME", .hint = Hint::tag}}, change(), "forget a tag; the entry stays", "", delete_tag},
    {"rename", "site", {kOld, kNew}, change(), "rename a site", "", rename_site},
    {"rename", "node", {kOld, kNew}, change(), "rename a node within its site", "", rename_node},
    {"set", "global", {kAttribute, kValue}, change(), "set an attribute for all nodes",
     "  set global wg_keepalive 25\n  set global wg_keepalive empty", set_attribute},
    {"set", "site", {kSite, kAttribute, kValue}, change(), "set an attribute for a site's nodes",
     "  set site ams lans '[\"10.2.0.0/24\"]'", set_attribute},
    {"set", "node", {kNode, kAttribute, kValue}, change(), "set an attribute for one node",
     "  set node r1.ams endpoint 198.51.100.7\n  set node r1.ams wg_links '{\"13\": {\"wg_peer_keepalive\": 20}}'",
     set_attribute},
    {"plan", "", {}, reading({"detailed-exitcode"}), "what committing everything would change", "", plan_commit},
    {"plan", "all", {}, reading({"detailed-exitcode"}), "the same", "", plan_commit},
    {"plan", "site", {kSite}, reading({"detailed-exitcode", "with-neighbours"}),
     "what committing a site would change", "",
     plan_commit},
    {"plan", "node", {kNode}, reading({"detailed-exitcode", "with-neighbours"}),
     "what committing a node would change", "",
     plan_commit},
    {"diff", "", {{.name = "A", .hint = Hint::instant, .optional = true, .choices = "active|committed|working"},
                  {.name = "B", .hint = Hint::instant, .optional = true, .choices = "working|committed|active"},
                  {.name = "N", .hint = Hint::node, .optional = true, .keyword = "node"}},
     reading({"detailed-exitcode"}),
     "compare A with B: each working, committed, active, vN, an instant or an exported file",
     "  diff                     active with working\n  diff v3 v4 node r1.ams\n  diff committed working\n"
     "  diff -2h                 two hours ago with working\n  diff before-move after-move -o json\n"
     "  diff --at friday         active with working, both as of then\n"
     "  diff working then.yaml   what applying an export, with --prune, would change\n"
     "`help instants` says what names an instant.", show_diff},
  });
  const Options commits = change({"include-others", "with-neighbours", "allow-loss", "activate", "confirmed",
                                  "unconfirmed", "health", "for", "no-wait", "timeout", "detailed-exitcode"});
  const Options activates = change({"confirmed", "unconfirmed", "health", "for", "no-wait", "timeout"});
  rows.insert(rows.end(), {
    {"commit", "all", {}, commits, "pin new versions of all nodes that changed",
     "  commit all -m \"new hub\" --activate\n"
     "  commit site ams --activate --confirmed=5m", commit},
    {"commit", "site", {kSite}, commits, "pin new versions of a site's nodes", "", commit},
    {"commit", "node", {kNode}, commits, "pin a new version of one node", "", commit},
    {"discard", "all", {}, change(), "drop all uncommitted changes", "", discard},
    {"discard", "site", {kSite}, change(), "drop uncommitted changes of a site and its nodes", "", discard},
    {"discard", "node", {kNode}, change(), "drop uncommitted changes of a node", "", discard},
    {"activate", "all", {kVersion}, activates, "bring versions to the routers, the latest by default",
     "  activate all --confirmed=5m\n"
     "  activate site ams --health controller,bgp,reach:lab --for 1m\n"
     "Waits until all connected nodes have reported. Exit 10 when some failed, 11 when they went back,\n"
     "9 when the time is over. With --confirmed every node counts down by itself and goes back in time,\n"
     "whatever happens to the controller, unless `confirm` comes first. With --health it is confirmed as soon\n"
     "as all of them report that all of that held for the time of --for, and goes back as soon as one lost it.\n"
     "The attributes activation_confirm, activation_health and activation_health_for make it the default.",
     activate},
    {"activate", "site", {kSite, kVersion}, activates, "the same for a site", "", activate},
    {"activate", "node", {kNode, kVersion}, activates, "the same for a node, also an earlier version",
     "  activate node r1.ams v1", activate},
  });
}

/// What became of an activation that waits.
void add_confirming(Rows& rows) {
  rows.insert(rows.end(), {
    {"confirm", "", {kActivation}, change({"partial"}), "keep what `activate --confirmed` brought",
     "ID may be left out when only one waits. Exit 11 when it is over: its nodes went back. Refused while a node\n"
     "has not applied it; --partial goes on without such nodes.", confirm_activation},
    {"cancel", "", {kActivation}, change(), "go back at once from what waits for a confirmation", "",
     cancel_activation},
    {"extend", "", {kActivation, {.name = "DURATION", .hint = Hint::word}}, change(),
     "more time for a confirmation, from now on", "  extend 15m\n  extend 7 1h", extend_activation},
  });
}

/// Templates and other files.
void add_files(Rows& rows) {
  rows.insert(rows.end(), {
    {"put", "file", {kScope, kFile, kPath}, change(), "put a file, of all nodes, a site's or one node's",
     "  put file global bird.conf.jinja templates/bird.conf.jinja\n"
     "  put file site ams bird_local.conf - < local.conf\n"
     "Without PATH, and with -, from standard input. SCOPE is global, site S or node N; the nearest level wins, by\n"
     "name. Committed, discarded, undone and blamed like an attribute, which is named file:NAME.", put_file},
    {"get", "file", {kReadScope, kFile, kPath}, reading(), "print a file, or write it to PATH",
     "  get file global bird.conf.jinja\n  get file site ams bird_local.conf /tmp/ --at -2h\n"
     "  get file built-in bird.conf.jinja      the program's own, below global with routing_style loopback",
     get_file},
    {"edit", "file", {kScope, kFile}, change(), "change a file with $VISUAL or $EDITOR",
     "  edit file global bird.conf.jinja\n"
     "A file that a level only has from above, or that is built in, starts as that. What was left as it was changes\n"
     "nothing.",
     edit_file},
    {"files", "pull", {kFolder}, reading({"force"}), "write the files of all levels to a folder, to work there",
     "  files pull net\n"
     "DIR/NAME, DIR/site_S/NAME and DIR/site_S/node_N/NAME, as Towalink has them; config.toml of each level tells its\n"
     "attributes, for reading. DIR/.meshlog remembers what was pulled. What was edited here and not pushed is not\n"
     "written over without --force.", pull_files},
    {"files", "push", {kFolder}, change({"prune", "force", "detailed-exitcode"}),
     "bring a folder's changes to the log, in one signed entry",
     "  files push net --dry-run\n  files push net -m \"new filters\"\n"
     "Also of a folder that was never pulled, for example of Towalink. What others changed since the pull stays as\n"
     "they made it; what was changed here, too, is refused (exit 6) without --force. --prune removes from the log\n"
     "what was removed here. config.toml is not read: attributes are changed with set and apply.", push_files},
    {"git", "", {{.name = "ARGS...", .hint = Hint::word, .optional = true, .rest = true}}, {"tree"},
     "run git on the history of commits, one git commit for each",
     "  git log --stat\n  git diff HEAD~1\n  --tree /srv/net git show\n"
     "First the commits that are new are added to a working tree: --tree, `git_tree` of the context,\n"
     "/var/lib/meshlog/git, or git below the user's data directory when that cannot be written. Each has the files\n"
     "and the attributes (config.toml) of all levels as committed, and below effective/ the configurations that it\n"
     "made; the operator as author, the entry's time, and the trailers Meshlog-Sequence and Meshlog-Log. The same\n"
     "log gives the same commits everywhere. All words after git are git's; options of meshcli stand before it.\n"
     "No hooks run, and nothing is pushed by itself.", run_git},
  });
}

/// Ansible over the management network.
void add_ansible(Rows& rows) {
  const Argument words{.name = "ARGS...", .hint = Hint::word, .optional = true, .rest = true};
  const std::string_view one = "run ansible on attached nodes", play = "run ansible-playbook on attached nodes";
  rows.insert(rows.end(), {
    {"inventory", "", {}, reading({"list", "host"}), "the attached nodes, as Ansible reads a dynamic inventory",
     "  inventory --list\n  inventory --host r1.ams\n"
     "For ansible -i SCRIPT, with a script of two lines: #!/bin/sh and exec meshcli inventory \"$@\". Groups: site_S\n"
     "for each site, group_G for each member of the attribute groups; what Ansible does not take in a name is _.\n"
     "Variables: ansible_host, node_id, site, version_active, version_latest, and the attributes in force; of those\n"
     "named ansible_* only user, port, python_interpreter, become and become_user, which act on the router alone.\n"
     "ansible_host is the node's address in the management network (global attribute management_hub), else its IPv4\n"
     "loopback.",
     show_inventory},
    {"ansible", "all", {words}, {}, one,
     "  ansible all all -m ping\n  ansible site ams all -a uptime\n  ansible node r1.ams all -m setup\n"
     "With the inventory of `inventory`, cut to what is meant; nodes that are not attached are named and left out. It\n"
     "runs here: on the machine of the management hub, or where its addresses lead. All words behind all, site S or\n"
     "node N are Ansible's, and so is the exit code; options of meshcli stand before the verb.", run_ansible_command},
    {"ansible", "site", {kSite, words}, {}, one, "", run_ansible_command},
    {"ansible", "node", {kNode, words}, {}, one, "", run_ansible_command},
    {"ansible_playbook", "all", {words}, {}, play,
     "  ansible_playbook all play.yml\n  ansible-playbook site ams play.yml --check\n"
     "As `ansible`; ansible-playbook is the same verb.", run_ansible_playbook},
    {"ansible_playbook", "site", {kSite, words}, {}, play, "", run_ansible_playbook},
    {"ansible_playbook", "node", {kNode, words}, {}, play, "", run_ansible_playbook},
  });
}

/// Intent as a whole: files, and the way back.
void add_intent(Rows& rows) {
  const Options applies = change({"file", "prune", "detailed-exitcode"});
  const Options backs = change({"detailed-exitcode"});
  rows.insert(rows.end(), {
    {"export", "", {}, reading(), "the intent of all, as a file for apply",
     "  export > net.yaml\n  export site ams --at -2h -o json\n"
     "YAML by default; -o json gives the same as JSON. Only intent: no keys, people, tokens or versions.",
     export_intent},
    {"export", "all", {}, reading(), "the same", "", export_intent},
    {"export", "site", {kSite}, reading(), "the intent of a site", "", export_intent},
    {"export", "node", {kNode}, reading(), "the intent of a node", "", export_intent},
    {"apply", "", {}, applies, "make the intent what files say, in one signed entry",
     "  apply -f net.yaml --dry-run\n  apply -f net/ --prune --detailed-exitcode\n"
     "The form of a file (`id`, `attributes` and all maps may be left out):\n"
     "  global: {bfd_multiplier: 5}\n  sites:\n    ams:\n      attributes: {lans: [10.2.0.0/24]}\n"
     "      nodes:\n        r1: {id: 11, attributes: {endpoint: 198.51.100.7}}\n"
     "A node's id finds it under any name; without one, the node of that name is meant, or a new one. Where no node\n"
     "ever was the ids of the files are taken: so an export comes to a new controller.\n"
     "`scope: site ams` or `scope: node r1.ams` says that the file is about that alone, as an export of it does.\n"
     "--prune removes what is not named: in the scope that the file names, everywhere without one.",
     apply_intent},
    {"import", "towalink", {{.name = "DIR", .hint = Hint::file}}, backs,
     "bring a Towalink network here, in one signed entry",
     "  import towalink /etc/towalink --dry-run\n  import towalink /etc/towalink -m \"from Towalink\"\n"
     "Numbers, names, attributes, groups and files of all levels are taken over, addresses and ports stay as they\n"
     "were; keys are not: nodes make their own and are attached anew. The report says what will differ and why.\n"
     "Everything or nothing: each mistake is told with its file and line, and then nothing is changed.\n"
     "Templates are rendered and checked by plan and commit. `help towalink` compares the commands.",
     import_from_towalink},
    {"rollback", "", {{.name = "INSTANT", .hint = Hint::instant},
                      {.name = "S", .hint = Hint::site, .optional = true, .keyword = "site"},
                      {.name = "N", .hint = Hint::node, .optional = true, .keyword = "node"}}, backs,
     "bring the intent back to what it was, by a new entry",
     "  rollback before-move --dry-run\n  rollback -1\n  rollback \"2026-01-02 18:00\" site ams\n"
     "Shows what will change before it is signed. Keys, tokens, people and versions stay as they are.\n"
     "`help instants` says what names an instant.", roll_back_intent},
    {"undo", "", {{.name = "SEQUENCE", .hint = Hint::word, .optional = true}}, backs,
     "take back one entry, your own newest by default",
     "Refused when something that came later rests on it. What is for ever (commits, enrolments,\n"
     "revocations) is refused with what to do instead.", undo_entry},
  });
}

void add_trust(Rows& rows) {
  rows.insert(rows.end(), {
    {"verify", "", {}, {"from", "against", "nodes"}, "replay the whole log and check every signature and decision",
     "  verify --against kept.checkpoint --nodes\n  verify --from backup.mlb\nExit 12 when something is wrong.",
     verify},
    {"prove", "", {{.name = "SEQUENCE", .hint = Hint::word}}, {"out"}, "prove that an entry is in the log",
     "`--out FILE` writes a tlog-proof (c2sp.org/tlog-proof): others check it without this program.", prove},
    {"prove", "consistency", {{.name = "OLD", .hint = Hint::file}, {.name = "NEW", .hint = Hint::word,
      .optional = true}},
     {}, "prove that history was only appended to",
     "  prove consistency 100           the first 100 entries are a prefix of all\n"
     "  prove consistency kept.checkpoint", prove_consistency},
    {"replay", "", {}, {"until", "to"}, "rebuild the state from entry 1, and compare it with the controller's",
     "  replay --until -2h\n  replay --until before-move --to then\n"
     "--to writes the files of every node as they were, compiled from what was replayed: the versions that\n"
     "were active and committed, and `working` where that was different. Secret keys are left out.\n"
     "Exit 12 when the states differ.", replay_history},
    {"checkpoint", "", {}, {}, "the newest signed checkpoint, to be kept elsewhere", "", show_checkpoint},
    {"checkpoint", "sign", {}, change(), "replay, then countersign the state: newcomers may start from it", "",
     sign_checkpoint},
    {"token", "create", {}, change({"node", "site", "uses", "expires", "approve", "no-approve", "recovery-out",
                                   "recovery"}),
     "make a token that admits a new node",
     "  token create --node r1.ams\n  token create --site lab --uses 5 --expires 7d\n"
     "The token is shown once. Give it to `meshnode join --token-file`.", token_create},
    {"token", "list", {}, reading(), "the tokens", "", list_tokens},
    {"token", "revoke", {{.name = "ID", .hint = Hint::word}}, change(), "no node may join with it any more", "",
     token_revoke},
    {"attach", "node", {kNode}, change({"fingerprint", "replace", "recovery-out", "recovery", "timeout", "no-wait"}),
     "admit a machine that asks without a token",
     "  attach node r1.ams\n  attach node r1.ams --fingerprint 3f2a:91c0:... --timeout 10m\n"
     "  attach node r1.ams --replace\n"
     "Machines ask with `meshnode join --controller HOST`, or with ops/bootstrap-node. Gathers for 20 seconds who\n"
     "does, lets you choose whom you know by its fingerprint, and follows it until its first version runs. The door\n"
     "for newcomers is open while somebody attaches, and a minute longer. Exit 9 when the time is over.\n"
     "--replace gives the place of a node to other hardware in one entry: the keys of the old one get nothing.",
     attach_node},
    {"node", "pending", {}, {}, "who waits to be admitted", "", node_pending},
    {"node", "approve", {{.name = "FINGERPRINT", .hint = Hint::word}}, change({"node"}),
     "admit who waits, after comparing the fingerprint", "  node approve 3f2a:91c0 --node r1.ams", node_approve},
    {"node", "reject", {{.name = "FINGERPRINT", .hint = Hint::word}}, change(), "refuse who waits, for ever", "",
     node_reject},
    {"node", "recovery", {kNode}, change({"recovery-out", "recovery", "none"}),
     "who may adopt a node that has lost its controller",
     "  node recovery r1.ams --recovery-out fleet.recovery\n  node recovery r2.ams --recovery fleet.recovery\n"
     "  node recovery r1.ams --none\n"
     "For administrators; without an option it says whether somebody may. `help recovery` says what the secret is\n"
     "for.", node_recovery},
    {"node", "revoke", {kNode}, change(), "make all keys of a node worthless, at once", "", node_revoke},
    {"recover", "", {}, {"recovery", "listen", "fingerprint", "once", "timeout"},
     "adopt routers that have lost their controller into this log",
     "  recover --recovery fleet.recovery --listen tcp://192.0.2.1:7400\n"
     "Listens where the lost controller was: routers call there when they have been without it for an hour\n"
     "(`meshnode run --recovery-after`). This log must have nodes of the same names, not enrolled. Known are those\n"
     "that the file names, and those whose --fingerprint is given (again for each). Ends with Ctrl-C, after\n"
     "--timeout, or with --once when that node was adopted. `help recovery` tells the whole drill.", recover},
    {"operator", "keygen", {kName}, {"out"}, "make an operator's keys on this machine",
     "  operator keygen bob --out bob.toml\nWrites bob.toml (secret, a context's draft) and bob.toml.pub (for an\n"
     "administrator).", operator_keygen, true},
    {"operator", "add", {kName}, change({"key", "role", "sites"}), "admit an operator",
     "  operator add bob --key bob.toml.pub --role operator --sites ams,lab", operator_add},
    {"operator", "role", {kName, {.name = "ROLE", .hint = Hint::word, .choices = "viewer|operator|admin"}},
     change({"sites"}), "change what an operator may do", "", operator_role},
    {"operator", "ban", {kName}, change(), "an operator may do nothing any more, at once", "", operator_ban},
    {"operator", "list", {}, reading(), "the operators", "", list_operators},
    {"whoami", "", {}, {}, "who the controller takes us for", "", show_whoami},
  });
}

void add_running(Rows& rows) {
  rows.insert(rows.end(), {
    {"controller", "status", {}, {}, "the controller itself", "", controller_status},
    {"controller", "rules", {{.name = "RULES", .hint = Hint::word, .optional = true}}, change(),
     "the version of the log's rules, or raise it",
     "Raised for ever: nodes whose program does not know them stop following, and say so.", controller_rules},
    {"controller", "connection", {}, {}, "the public part of a context, for a new operator", "",
     controller_connection, true},
    {"controller", "endpoints", {{.name = "ACTION", .hint = Hint::word, .optional = true, .choices = "add|remove|set"},
                                 {.name = "ENDPOINTS", .hint = Hint::word, .optional = true}},
     change({"force", "enrol"}), "where the controller is, or move it",
     "  controller endpoints add tcp://203.0.113.9:7400\n  controller endpoints remove tcp://192.0.2.1:7400\n"
     "  controller endpoints set tcp://a.example:7400,tcp://b.example:7400 --enrol tcp://a.example:7401\n"
     "At once, without commit. To move: let the controller listen at both addresses (meshd run --listen OLD\n"
     "--listen NEW), add the new one, wait until every node has seen it, remove the old one, stop listening\n"
     "there. As long as nodes have not seen where else to look, the old one stays unless --force. Nodes try what\n"
     "they knew before, too; `meshnode endpoints set` brings back one that knows nothing that is served.",
     controller_endpoints_verb},
    {"controller", "backup", {{.name = "FILE", .hint = Hint::file}}, {"force"},
     "copy the whole history to one file, while others write",
     "For administrators. What is in the file was checked against the signed checkpoint. No keys are in it: keep\n"
     "log.key, controller.key and meshd.toml of the controller's directory apart; they never change.\n"
     "Exit 10 when the controller could not give some configuration; it is named.", controller_backup},
    {"controller", "restore", {{.name = "FILE", .hint = Hint::file}}, {"data", "keys", "listen", "enrol"},
     "make a controller's directory from a backup and the keys",
     "  controller restore mesh.backup --data /var/lib/meshd --keys meshd-keys\n"
     "Everything is verified first; nothing is overwritten. The controller then only reads, until `controller\n"
     "start-epoch`.", controller_restore, true},
    {"controller", "start-epoch", {}, change({"node-floor", "version-floor"}),
     "make the history of a restored controller the one that counts",
     "For administrators. Entries that the backup lacks are void; nodes that saw them are told. New nodes and\n"
     "versions get numbers that the lost entries cannot have used.", controller_start_epoch},
    {"controller", "optimise", {}, {}, "give back the space of what was replaced or removed",
     "For administrators. The controller goes on meanwhile; nothing of the history is dropped.", controller_optimise},
    {"controller", "orphans", {{.name = "SEQUENCE", .hint = Hint::word, .optional = true}}, {},
     "entries that a restored log lost and nodes handed over",
     "What was done in them can be done again by hand; -o json shows all of each.", list_orphans},
    {"doctor", "", {}, {}, "look for what is wrong, and say how to mend it", "", doctor},
    {"completion", "", {{.name = "SHELL", .hint = Hint::word, .choices = "bash|zsh|fish"}}, {},
     "a script that completes commands", "  source <(meshcli completion bash)", print_completion, true},
    {"version", "", {}, {}, "this program's version", "", show_version, true},
    {"help", "", {{.name = "TOPIC", .hint = Hint::topic, .optional = true},
                  {.name = "NOUN", .hint = Hint::word, .optional = true}},
     {}, "this, or help about a command or topic", "", show_help, true},
  });
}

// clang-format on

}  // namespace

const Grammar& meshcli_grammar() {
  static const Rows rows = [] {
    Rows out;
    add_reading(out);
    add_looking(out);
    add_changing(out);
    add_confirming(out);
    add_files(out);
    add_ansible(out);
    add_intent(out);
    add_trust(out);
    add_running(out);
    return out;
  }();
  static const std::vector<Option> options = [] {
    std::vector<Option> out = option_table();
    out.insert(out.end(), std::begin(kSimulateOptions), std::end(kSimulateOptions));
    out.insert(out.end(), std::begin(kAttachOptions), std::end(kAttachOptions));
    out.insert(out.end(), std::begin(kRunningOptions), std::end(kRunningOptions));
    return out;
  }();
  static const Grammar grammar{rows, options, kGlobalOptions, kVerbSynonyms, kNounSynonyms};
  return grammar;
}

}  // namespace mesh::cli
