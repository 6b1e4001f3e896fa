// Contents of files of the log: from the controller, and on their way to it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/client.h"
#include "cli/json.h"
#include "eventstore/model/attribute_value.h"

namespace mesh::cli {

class FileContents {
 public:
  /// Borrows it.
  explicit FileContents(Client& client) : client_(client) {}

  /// What the log's file holds. Errors: those of Client::fetch, corrupt (no file's blob).
  Result<std::string> get(const FileRef& file);

  /// What SetAttribute has to say so that a file holds `content`: `stored` when that holds it already, or what
  /// another put() of the same content gave; otherwise a new blob, which has to travel with the request. Errors:
  /// exhausted (kFileBytesMax, kAttachmentBytesMax, kAttachmentsMax), those of check_no_secret() and of get(stored) but
  /// not_found.
  Result<FileRef> put(const std::string& content, const FileRef* stored);

  /// The blobs of all put() since the last call: of one request.
  std::vector<Bytes> take_attachments();

 private:
  Client& client_;
  std::map<Digest, std::string> known_;   // digest of a blob -> content
  std::map<std::string, FileRef> fresh_;  // content -> its new blob
  std::vector<Bytes> attachments_;
  size_t attached_bytes_ = 0;
};

/// A file of a document, {"sha256", "bytes"}; nothing for any other value.
std::optional<FileRef> file_at(const Json& value);
/// What is in the log stays there and everybody reads it. The line of a WireGuard key that has to stay secret, or of a
/// PEM private key; 0 = none.
size_t secret_line(std::string_view content);
/// Errors: invalid (with that line).
Status check_no_secret(std::string_view content);

/// "1,234 bytes sha256:ab12cd34": a file in a line for people.
std::string file_text(const FileRef& file);
/// A value as documents have it: a file as above.
Json attribute_json(const AttributeValue& value);
/// The value of an attribute in a document, as people read it: a text as it is, a file as above, all else as JSON.
std::string attribute_text(const Json& value);
/// The same of a value.
std::string attribute_text(const AttributeValue& value);

}  // namespace mesh::cli
