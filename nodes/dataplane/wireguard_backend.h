// The two ways to a WireGuard interface: the kernel's module through wg(8), or a wireguard-go
// process through its socket. Both see interfaces of this network namespace only.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "nodes/dataplane/rtnetlink.h"
#include "nodes/dataplane/wireguard_text.h"

namespace mesh {

class WireGuardBackend {
 public:
  virtual ~WireGuardBackend() = default;
  /// The devices among `names` that answer; one that does not is missing from the result. Errors:
  /// unavailable.
  virtual Result<std::map<std::string, WireGuardDevice>> read(
      const std::vector<std::string>& names) = 0;
  /// Makes the interface, down and without keys. Errors: unsupported (this way does not exist
  /// here), unavailable (a missing program or device, with the fix), io.
  virtual Status create(const std::string& name) = 0;
  /// Brings an existing interface to `wanted`; sessions of what stays as it was go on. Errors:
  /// unavailable, io.
  virtual Status configure(const InterfaceSettings& wanted) = 0;
  /// Removes the interface and what serves it. Missing = success. Errors: io, timeout.
  virtual Status remove(const std::string& name) = 0;
};

class KernelWireGuard final : public WireGuardBackend {
 public:
  explicit KernelWireGuard(Rtnetlink& netlink) : netlink_(netlink) {}
  Result<std::map<std::string, WireGuardDevice>> read(
      const std::vector<std::string>& names) override;
  Status create(const std::string& name) override;
  Status configure(const InterfaceSettings& wanted) override;
  Status remove(const std::string& name) override;

 private:
  Rtnetlink& netlink_;
};

/// One detached wireguard-go per interface. It lives on when we end and is spoken to again when we
/// return; it ends by itself when its interface or its socket goes.
class UserspaceWireGuard final : public WireGuardBackend {
 public:
  explicit UserspaceWireGuard(Rtnetlink& netlink) : netlink_(netlink) {}
  Result<std::map<std::string, WireGuardDevice>> read(
      const std::vector<std::string>& names) override;
  Status create(const std::string& name) override;
  Status configure(const InterfaceSettings& wanted) override;
  Status remove(const std::string& name) override;

 private:
  Rtnetlink& netlink_;
};

}  // namespace mesh
