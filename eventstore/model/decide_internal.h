// Shared between the files that decide commands. Not for use outside eventstore/model/decide*.cc.
#pragma once

#include <string_view>
#include <vector>

#include "eventstore/model/decide.h"

namespace mesh::deciding {

/// What a command's decision reads: the state before it, who asks, and the context.
struct Case {
  const MeshState& state;
  const Request& request;
  const Context& context;
};

using Events = Result<std::vector<Event>>;

/// A site's or node's name: a DNS label of [a-z0-9-], not purely numeric. `what` names it in the
/// error.
Status check_name(std::string_view what, std::string_view name);

// decide_structure.cc: sites, nodes, attributes.
Events decide(const Case&, const AddSite&);
Events decide(const Case&, const RemoveSite&);
Events decide(const Case&, const RenameSite&);
Events decide(const Case&, const AddNode&);
Events decide(const Case&, const RemoveNode&);
Events decide(const Case&, const RenameNode&);
Events decide(const Case&, const SetAttribute&);
Events decide(const Case&, const UnsetAttribute&);

// decide_commit.cc: versions, and what nodes reported.
Events decide(const Case&, const Commit&);
Events decide(const Case&, const Discard&);
Events decide(const Case&, const ReportOutcomes&);

// decide_activation.cc
Events decide(const Case&, const Activate&);
Events decide(const Case&, const ConfirmActivation&);
Events decide(const Case&, const CancelActivation&);
Events decide(const Case&, const ExtendActivation&);
Events decide(const Case&, const ExpireActivation&);

// decide_people.cc: operators, tokens, enrolment, the log itself.
Events decide(const Case&, const CreateLog&);
Events decide(const Case&, const CreateToken&);
Events decide(const Case&, const RevokeToken&);
Events decide(const Case&, const ExpireToken&);
Events decide(const Case&, const AdmitNode&);
Events decide(const Case&, const ApproveNode&);
Events decide(const Case&, const RejectNode&);
Events decide(const Case&, const RevokeNode&);
Events decide(const Case&, const AddOperator&);
Events decide(const Case&, const SetRole&);
Events decide(const Case&, const BanOperator&);
Events decide(const Case&, const RaiseRules&);
Events decide(const Case&, const SetEndpoints&);
Events decide(const Case&, const SetRecovery&);
Events decide(const Case&, const SignAnchor&);

// decide_history.cc: tags, what comes back, epochs.
Events decide(const Case&, const AddTag&);
Events decide(const Case&, const RemoveTag&);
Events decide(const Case&, const RestoreSite&);
Events decide(const Case&, const RestoreNode&);
Events decide(const Case&, const RollBack&);
Events decide(const Case&, const Undo&);
Events decide(const Case&, const StartEpoch&);

/// TokenRevoked for every open token that admits into `scope`.
void revoke_tokens_of(const MeshState& state, const Scope& scope, std::vector<Event>& out);

}  // namespace mesh::deciding
