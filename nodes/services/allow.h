// /etc/meshnode/allow.toml: what this router does beside tunnels and routing when the log asks for it. The log is
// written elsewhere; this file is root's on the box, and without it nothing of it is done.
//
//   destinations = ["/etc/dnsmasq.d"]               directories in which files of services are placed
//   commands = ["systemctl reload dnsmasq"]         exact texts; {} is the directory with the files to be checked
//   startup_scripts = false                         files named startup_*
//   ssh_keys = false                                a block in root's authorized_keys
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "eventstore/model/result.h"

namespace mesh {

struct Allow {
  std::vector<std::string> destinations, commands;
  bool startup_scripts = false, ssh_keys = false;
  bool operator==(const Allow&) const = default;

  bool destination(std::string_view path) const;
  bool command(std::string_view text) const;
};

/// Errors: invalid (line, what is wrong), also for a name that it does not know.
Result<Allow> parse_allow(std::string_view text);
/// The lines that allow.toml has to have so that it permits what `wanted` does too; empty when it does already.
std::vector<std::string> lines_to_add(const Allow& allow, const Allow& wanted);

}  // namespace mesh
