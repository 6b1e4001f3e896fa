// Every bound of the system, each with its reason. Past a limit there is a clear error, never a crash.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mesh {

// Names and values.
inline constexpr size_t kNameBytesMax = 63;                // a DNS label (RFC 1035)
inline constexpr size_t kAttributeNameBytesMax = 128;      // dotted names of a few labels
inline constexpr size_t kAttributeValueBytesMax = 1024;    // longer values belong in files
inline constexpr size_t kAttributeListMax = 64;
inline constexpr size_t kAttributesPerScopeMax = 512;
inline constexpr size_t kSshKeysBytesMax = 16 * 1024;      // of node_sshauthkeys: twenty RSA keys of 4096 bits
inline constexpr size_t kFileNameBytesMax = 96;
inline constexpr size_t kFileBytesMax = 1024 * 1024;       // a template, not a disk image
inline constexpr size_t kFileSaltBytes = 16;               // before the content in a file's blob
inline constexpr size_t kFilesPerNodeMax = 12'000;         // rendered: one for each link, and some
inline constexpr size_t kVersionFilesBytesMax = 32 * 1024 * 1024;  // of them together: a router holds them in memory
inline constexpr size_t kServicesMax = 64;                 // of one node
inline constexpr size_t kMessageBytesMax = 1024;           // a commit message, not a document
inline constexpr size_t kFullNameBytesMax = 127;           // node.site
inline constexpr size_t kHostNameBytesMax = 253;           // RFC 1035
inline constexpr size_t kEndpointBytesMax = 272;           // "tcp://", a host name, a port
inline constexpr uint32_t kNodeIdMin = 11;                 // 1 to 10 are reserved, as in Towalink
inline constexpr uint32_t kNodeNumberMax = 1'000'000;      // that can be chosen: room for those that come by themselves
inline constexpr uint32_t kNodesMax = 10'000;              // live nodes; measured storms go up to here
inline constexpr uint32_t kSitesMax = 10'000;
inline constexpr size_t kOperatorsMax = 1'000;
inline constexpr size_t kTokensMax = 10'000;               // open tokens
inline constexpr size_t kRejectedMax = 1'000;              // remembered rejected fingerprints
inline constexpr size_t kTagsMax = 10'000;                 // named instants of history
inline constexpr uint32_t kFloorStepMax = 1'000'000;       // numbers that a restored log leaves out
inline constexpr size_t kEndpointsMax = 8;

// Confirmed activations.
inline constexpr uint32_t kConfirmSecondsMin = 5;          // below, nobody can look and confirm
inline constexpr uint32_t kConfirmSecondsMax = 7 * 86'400;  // a change that nobody confirms for a week is none
inline constexpr uint32_t kConfirmSecondsDefault = 600;
inline constexpr uint32_t kConfirmMarginSeconds = 10;      // a confirmation needs them to reach every node
inline constexpr uint32_t kHealthSecondsMax = 3'600;       // of a gate
inline constexpr uint32_t kHealthSecondsDefault = 30;
inline constexpr size_t kHealthGatesMax = 16;
inline constexpr size_t kClosedActivationsMax = 256;       // remembered, so that a late confirm hears what became of it

// Requests and entries.
inline constexpr size_t kCommandsPerRequestMax = 65'536;   // a whole network applied or rolled back at once
inline constexpr size_t kEventsPerEntryMax = 65'536;       // one commit of the largest fleet, several times
inline constexpr size_t kRequestBytesMax = 4 * 1024 * 1024;  // the same
inline constexpr size_t kAttachmentsMax = 4'096;           // files that come with a request
inline constexpr size_t kAttachmentBytesMax = 8 * 1024 * 1024;  // of them all; with the request below a frame
inline constexpr size_t kJoinBytesMax = 2 * 1024;          // signed statement; fits an enrolment frame
inline constexpr size_t kOutcomeBytesMax = 2 * 1024;       // signed outcome with the longest message
inline constexpr size_t kTokenBytesMax = 4 * 1024;         // what a token's text holds
inline constexpr size_t kHeaderBytesMax = 1024;            // a Merkle leaf; every node keeps them all
inline constexpr size_t kEntryBytesMax = 12 * 1024 * 1024;  // the largest request with its events
inline constexpr uint64_t kRequestWindow = 4'096;          // entries for which retries are recognised
inline constexpr size_t kAppendEntriesMax = 4'096;         // one group commit; at most the request window
inline constexpr size_t kAppendBytesMax = 64 * 1024 * 1024;  // sixteen of the largest entries

// Bus.
inline constexpr size_t kFrameBytesMax = 16 * 1024 * 1024;  // the largest entry with its checkpoint
inline constexpr size_t kEnrolFrameBytesMax = 4 * 1024;    // strangers send one small message
inline constexpr size_t kCatchUpFrameBytes = 128 * 1024;   // measured: 64 to 256 KiB replay 3.5 times faster
inline constexpr size_t kQueryArgumentsMax = 32;
inline constexpr size_t kQueryValueBytesMax = 1024;        // a filter, not a document
inline constexpr size_t kWarningsMax = 10'000;             // one for each node
inline constexpr size_t kErrorBytesMax = 64 * 1024;        // a refusal that names a thousand things
inline constexpr size_t kNoteBytesMax = 16 * 1024;         // a checkpoint with about 100 signatures
inline constexpr uint64_t kCreditBytesDefault = 1024 * 1024;
inline constexpr uint64_t kCreditBytesMax = 16 * 1024 * 1024;
inline constexpr size_t kSessionsMax = 12'000;
inline constexpr size_t kWaitingNodesMax = 256;            // joins that wait for approval
inline constexpr size_t kEnrolConnectionsMax = 320;        // strangers: those who wait, and some who come
inline constexpr size_t kEnrolConnectionBytesMax = 256 * 1024;  // a stranger's bytes: 60 of the largest joins
inline constexpr size_t kDriftItemsMax = 256;              // hand edits that one status names; more are counted
inline constexpr size_t kDriftTextMax = 1024;              // of each side of one: a person looks at the router next
inline constexpr size_t kFlatBufferDepthMax = 32;
inline constexpr size_t kFlatBufferTablesMax = 1'000'000;

// Replay, versions and blobs.
inline constexpr size_t kBlobBytesMax = 64 * 1024 * 1024;
inline constexpr size_t kSnapshotBytesMax = 256 * 1024 * 1024;  // 10,000 nodes are a tenth of it
inline constexpr size_t kArchiveChunkBytes = 1024 * 1024;        // a backup's record: compresses well, is soon read
inline constexpr uint64_t kSnapshotReplayThreshold = 1'000'000;  // below, a newcomer replays everything
inline constexpr size_t kOrphansMax = 10'000;                    // entries of given up histories, kept to be read
inline constexpr size_t kOrphanBytesMax = 8 * 1024 * 1024;       // of them all; one frame holds them
inline constexpr size_t kVersionsKept = 10;                      // on a node's disk
inline constexpr size_t kInterfaceNameMax = 15;                  // IFNAMSIZ - 1 (Linux)

}  // namespace mesh
