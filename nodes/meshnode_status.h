// `meshnode status`: the document.
#pragma once

#include <string>

#include "nodes/agent.h"

namespace mesh {

/// The document of `meshnode status -o json`; keys are never removed. `trouble`: why there is no connection.
std::string status_json(const AgentStatus& status, const std::string& trouble, bool running);

}  // namespace mesh
