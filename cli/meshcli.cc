#include <string>
#include <vector>

#include "broker/bus/keys.h"
#include "cli/environment.h"

int main(int count, char** words) {
  if (!mesh::harden_process()) return 1;
  mesh::cli::Environment environment = mesh::cli::process_environment(words[0]);
  return mesh::cli::run(environment, std::vector<std::string>(words + 1, words + count));
}
