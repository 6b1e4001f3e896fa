// What nodes measure, in words: links, machines, and what a path does not carry.
#pragma once

#include <string>
#include <vector>

#include "cli/json.h"

namespace mesh::cli {

/// Makes of a link what the views of links show: its sessions up or down, rtt_text ("12.3 ms"; none when nothing came
/// back for long), mtu_text ("1420", or "1344 of 1420" when the path carries less), bytes (`*_bytes` -> `*_text`).
void add_link_texts(Json& link);
/// Adds to an item of the status document load_text, memory_text, disk_text, kernel, bird and wireguard.
void add_machine_texts(Json& item);
/// The machine of one node, in lines; empty when its program does not tell.
std::string machine_text(const Json& item);

/// A link whose MTU is larger than what its path carries.
struct PathFinding {
  std::string detail;  // "the link r1.ams - r1.lab carries packets of up to 1344 bytes, its MTU is 1420"
  std::string fix;     // "meshcli set node r1.lab wg_mtu 1344, then commit and activate"
};
/// One for each link of `items` (of the status document), whichever ends told it. The fix lowers the MTU at the end
/// with fewer links, because there it costs the other links least.
std::vector<PathFinding> path_findings(const Json& items);

}  // namespace mesh::cli
