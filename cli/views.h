// How each list is shown to people.
#pragma once

#include "cli/render.h"

namespace mesh::cli {

extern const ListView kSitesView, kNodesView, kChangedView, kChangesView, kLinksView, kNodeLinksView, kVersionsView,
    kTokensView, kOperatorsView, kPendingView, kAttributesView, kEffectiveView, kStatusView,
    kDoctorView, kActivationView, kActivationsView, kTagsView, kBlameView, kOrphansView, kPointsView, kRoutesView,
    kFilesView;

}  // namespace mesh::cli
