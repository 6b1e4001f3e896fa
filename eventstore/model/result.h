// Errors as values. An expected failure is an Error; a state that cannot be is MESH_ASSERT.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace mesh {

/// Why an operation failed. The numbers are wire values: only ever appended to.
enum class Errc : uint8_t {
  usage = 1,        // the call itself is malformed
  unauthenticated,  // no valid signature or key
  not_permitted,    // known, but without the right
  not_found,
  conflict,     // the state moved on: stale expectation, pending activation, taken name
  invalid,      // refused by validation; nothing was written
  exhausted,    // a limit, quota or full disk
  io,           // the outcome on disk or in the kernel is unknown
  corrupt,      // integrity failure: a record, signature, proof or digest is wrong
  unavailable,  // the other side cannot be reached, or is read-only
  timeout,
  unsupported,  // newer rules or an unknown event: upgrade required
};

/// The word for `code` in machine output, e.g. "not_found".
std::string_view errc_name(Errc code);

/// Message: lower case, no full stop, names the thing, expected and actual. Fix: the next step, or
/// empty.
struct Error {
  Errc code{};
  std::string message;
  std::string fix;
  bool operator==(const Error&) const = default;
};

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

inline std::unexpected<Error> fail(Errc code, std::string message, std::string fix = {}) {
  return std::unexpected(Error{code, std::move(message), std::move(fix)});
}

/// `error` with what this layer knows put in front: "opening the log: " + message.
inline std::unexpected<Error> fail_in(std::string_view context, Error error) {
  error.message = std::string(context) + ": " + error.message;
  return std::unexpected(std::move(error));
}

[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);

}  // namespace mesh

/// Always on: for states that cannot be, never for input.
#define MESH_ASSERT(expression) \
  ((expression) ? static_cast<void>(0) : ::mesh::assertion_failed(#expression, __FILE__, __LINE__))

/// Returns the error of a Status or Result from the calling function.
#define MESH_TRY(expression)                                      \
  do {                                                            \
    if (auto mesh_try_status = (expression); !mesh_try_status)    \
      return std::unexpected(std::move(mesh_try_status).error()); \
  } while (false)
