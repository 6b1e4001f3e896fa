#include "cli/views.h"

namespace mesh::cli {

const ListView kSitesView{{{"SITE", "name"},
                           {"NODES", "nodes"},
                           {"ATTRIBUTES", "attributes", Cell::text, true},
                           {"UNCOMMITTED", "uncommitted"}},
                          "name",
                          "There are no sites yet: meshcli add site NAME"};

const ListView kNodesView{{{"NODE", "fullname"},
                           {"ID", "id"},
                           {"ENROLMENT", "enrolment", Cell::state},
                           {"ACTIVE", "version_active", Cell::version},
                           {"WANTED", "version_wanted", Cell::version, true},
                           {"PENDING", "pending", Cell::version, true},
                           {"LATEST", "version_latest", Cell::version},
                           {"SEQUENCE", "sequence"},
                           {"CONNECTED", "connected", Cell::state, true},
                           {"STATE", "state", Cell::state}},
                          "fullname",
                          "There are no nodes yet: meshcli add node NODE.SITE"};

const ListView kChangedView{{{"NODE", "fullname"},
                             {"NEXT", "version", Cell::version},
                             {"EFFECT", "effect"},
                             {"CHANGES", "changes"}},
                            "fullname",
                            "No node configuration has changed."};

const ListView kChangesView{{{"SCOPE", "scope"},
                             {"WHAT", "what"},
                             {"NAME", "name"},
                             {"BEFORE", "before"},
                             {"NOW", "now"},
                             {"BY", "by"},
                             {"ENTRY", "sequence"}},
                            "scope",
                            "Everything is committed."};

const ListView kLinksView{{{"A", "a_name"},
                           {"B", "b_name"},
                           {"A INTERFACE", "a_interface", Cell::text, true},
                           {"B INTERFACE", "b_interface", Cell::text, true},
                           {"BGP", "bgp_up", Cell::state},
                           {"BFD", "bfd_up", Cell::state},
                           {"HANDSHAKE", "handshake_age_s", Cell::seconds},
                           {"ROUND TRIP", "rtt_text"},
                           {"MTU", "mtu_text"},
                           {"A ENDPOINT", "b_endpoint", Cell::text, true},
                           {"B ENDPOINT", "a_endpoint", Cell::text, true},
                           {"A TO B", "a_tx_text", Cell::text, true},
                           {"B TO A", "a_rx_text", Cell::text, true},
                           {"MTU FOUND", "path_mtu_age_s", Cell::seconds, true},
                           {"REPORTED", "age_s", Cell::seconds}},
                          "a_interface",
                          "There are no links."};

const ListView kNodeLinksView{{{"PEER", "peer_name"},
                               {"INTERFACE", "interface", Cell::text, true},
                               {"BGP", "bgp_up", Cell::state},
                               {"BFD", "bfd_up", Cell::state},
                               {"HANDSHAKE", "handshake_age_s", Cell::seconds},
                               {"ROUND TRIP", "rtt_text"},
                               {"MTU", "mtu_text"},
                               {"MTU FOUND", "path_mtu_age_s", Cell::seconds, true},
                               {"ENDPOINT", "endpoint"},
                               {"SENT", "tx_text"},
                               {"RECEIVED", "rx_text"}},
                              "interface",
                              "It has no links."};

const ListView kVersionsView{{{"VERSION", "version", Cell::version},
                              {"ACTIVE", "active"},
                              {"WANTED", "wanted"},
                              {"ENTRY", "sequence"},
                              {"TIME", "time", Cell::time},
                              {"BY", "by"},
                              {"DIGEST", "digest", Cell::key, true},
                              {"MESSAGE", "message"}},
                             "version",
                             "Nothing was committed yet: meshcli commit all"};

const ListView kTokensView{{{"ID", "id"},
                            {"ADMITS", "scope"},
                            {"STATE", "state", Cell::state},
                            {"USES LEFT", "uses_left"},
                            {"APPROVAL", "approve"},
                            {"EXPIRES", "expires", Cell::time},
                            {"BY", "by"},
                            {"ENTRY", "sequence", Cell::text, true}},
                           "id",
                           "There are no tokens: meshcli token create --node NODE"};

const ListView kOperatorsView{{{"OPERATOR", "name"},
                               {"ROLE", "role"},
                               {"SITES", "sites"},
                               {"BANNED", "banned"},
                               {"KEY", "sign_key", Cell::key},
                               {"ENTRY", "sequence", Cell::text, true}},
                              "name",
                              "There are no operators."};

const ListView kOrphansView{{{"EPOCH", "epoch"},
                             {"ENTRY", "sequence"},
                             {"TIME", "time", Cell::time},
                             {"BY", "principal"},
                             {"WHAT", "what"},
                             {"MESSAGE", "message"},
                             {"SIGNATURE", "signature", Cell::text, true}},
                            "sequence",
                            "No entries were given up, or no node had them."};

const ListView kTagsView{{{"TAG", "name"},
                          {"ENTRY", "at"},
                          {"TIME", "time", Cell::time},
                          {"BY", "by"},
                          {"ADDED", "sequence", Cell::text, true}},
                         "name",
                         "There are no tags: meshcli add tag NAME"};

const ListView kFilesView{{{"LEVEL", "scope"},
                           {"FILE", "name"},
                           {"BYTES", "bytes"},
                           {"SHA256", "sha256", Cell::key},
                           {"ENTRY", "sequence"},
                           {"TIME", "time", Cell::time},
                           {"BY", "by"},
                           {"MESSAGE", "message"}},
                          "name",
                          "There are no files: meshcli put file global NAME PATH"};

const ListView kPendingView{{{"FINGERPRINT", "fingerprint"},
                             {"ASKS TO BE", "node"},
                             {"ADDRESS", "address"},
                             {"HOSTNAME", "hostname"},
                             {"MACHINE", "machine", Cell::text, true},
                             {"TOKEN", "token"},
                             {"SINCE", "since", Cell::time}},
                            "fingerprint",
                            "Nobody waits."};

const ListView kActivationsView{{{"ACTIVATION", "id"},
                                 {"STATE", "state", Cell::state},
                                 {"LEFT", "left_s", Cell::seconds},
                                 {"CONFIRM WITHIN", "confirm_left_s", Cell::seconds},
                                 {"NODES", "total"},
                                 {"APPLIED", "applied"},
                                 {"HEALTHY", "healthy", Cell::text, true},
                                 {"WENT BACK", "failed"},
                                 {"WAITING", "waiting"},
                                 {"UNREACHABLE", "offline"},
                                 {"HEALTH", "health", Cell::text, true},
                                 {"BY", "by"},
                                 {"TIME", "time", Cell::time},
                                 {"ENDED BY", "ended_by", Cell::text, true},
                                 {"ENDED", "ended_time", Cell::time, true},
                                 {"MESSAGE", "message"}},
                                "id",
                                "Nothing waits for a confirmation, and nothing did."};

const ListView kAttributesView{{{"ATTRIBUTE", "name"}, {"VALUE", "value"}, {"ENTRY", "sequence"}},
                               "name",
                               "Nothing is set here."};

const ListView kEffectiveView{
    {{"ATTRIBUTE", "name"}, {"VALUE", "value"}, {"FROM", "scope"}, {"ENTRY", "sequence"}},
    "name",
    "Nothing is set."};

const ListView kStatusView{{{"NODE", "fullname"},
                            {"STATE", "state", Cell::state},
                            {"ACTIVE", "version_active", Cell::version},
                            {"WANTED", "version_wanted", Cell::version},
                            {"LATEST", "version_latest", Cell::version, true},
                            {"LINKS", "links_text"},
                            {"DRIFT", "drift"},
                            {"LAG", "lag"},
                            {"HEARD", "age_s", Cell::seconds},
                            {"OVERLAY", "overlay", Cell::text, true},
                            {"PROGRAM", "program", Cell::text, true},
                            {"LOAD", "load_text", Cell::text, true},
                            {"MEMORY", "memory_text", Cell::text, true},
                            {"DISK", "disk_text", Cell::text, true},
                            {"UP", "uptime_s", Cell::seconds, true},
                            {"KERNEL", "kernel", Cell::text, true},
                            {"BIRD", "bird", Cell::text, true},
                            {"WIREGUARD", "wireguard", Cell::text, true},
                            {"LAST OUTCOME", "last_outcome", Cell::text, true},
                            {"PROBLEM", "problem"}},
                           "fullname",
                           "There are no nodes yet."};

const ListView kDoctorView{
    {{"CHECK", "check"}, {"STATE", "state", Cell::state}, {"DETAIL", "detail"}, {"FIX", "fix"}},
    "check",
    ""};

const ListView kActivationView{{{"NODE", "fullname"},
                                {"FROM", "from", Cell::version},
                                {"TO", "to", Cell::version},
                                {"STATE", "state", Cell::state},
                                {"LEFT", "left_s", Cell::seconds},
                                {"MESSAGE", "message"}},
                               "fullname",
                               ""};

const ListView kBlameView{{{"ATTRIBUTE", "name"},
                           {"VALUE", "value"},
                           {"BEFORE", "before", Cell::text, true},
                           {"FROM", "scope"},
                           {"ENTRY", "sequence"},
                           {"TIME", "time", Cell::time},
                           {"BY", "by"},
                           {"REFERENCE", "reference", Cell::text, true},
                           {"MESSAGE", "message"}},
                          "sequence",
                          "Nothing is set."};

const ListView kPointsView{{{"WHAT", "what"},
                            {"NAME", "name"},
                            {"PAIRS", "pairs"},
                            {"CUTS OFF", "apart"},
                            {"FOR EXAMPLE", "example"}},
                           "name",
                           "No single link or node cuts LANs off."};

const ListView kRoutesView{{{"NODE", "fullname"}, {"PREFIX", "prefix"}, {"VIA", "via"}, {"LINKS", "hops"}},
                           "prefix",
                           "There are no nodes."};

}  // namespace mesh::cli
