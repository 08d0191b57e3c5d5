"""What is asked of the GraphQL API where a connection does not say otherwise.

The fields of a session are those the vendor has published; ``finishedAt`` became ``endedAt``. Unverified, because no
public contract shows them: ``pageInfo``, the id of a scenario step, and every field of a call beyond ``externalData``.
Who has other fields gives queries of their own as options of the connection. ``$first``, ``$after`` and
``$eventsAfter`` are filled in where a query declares them.
"""

from __future__ import annotations

__all__ = ["CALL_QUERY", "CAPTURES_QUERY", "LIST_QUERY", "PROBE_QUERY", "SESSION_QUERY"]

SESSION_QUERY = """\
query OvenbridgeSession($id: ID!, $first: Int!, $after: String, $eventsAfter: String) {
  node(id: $id) {
    __typename
    ... on ScenarioSession {
      id databaseId startedAt endedAt duration idleDuration
      numberOfStepsPossible numberOfStepsViewed percentOfStepsViewed
      state sessionType externalData
      completedSteps(first: 100) { nodes { id } }
      parts(first: 25) { nodes { databaseId createdBy { id name } } }
      scenarioRelease {
        type version publishedAt author { id name }
        scenario { name description publishedAt author { id name } originGroup { id name } }
      }
      steps(first: $first, after: $after) {
        nodes { scenarioStep { id name orderIndex scenarioSequence { name } } }
        pageInfo { hasNextPage endCursor }
      }
      events(first: $first, after: $eventsAfter) {
        nodes { id createdAt receivedAt type externalData }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
}
"""

CALL_QUERY = """\
query OvenbridgeCall($id: ID!) {
  node(id: $id) { __typename ... on Call { id externalData } }
}
"""

CAPTURES_QUERY = """\
query OvenbridgeCaptures($id: ID!, $first: Int!, $after: String) {
  scenarioSessionEvents(first: $first, after: $after, valueTypes: [PHOTO], scenarioSessionId: $id) {
    nodes { id type photo { fileUrl } scenarioSessionStep { scenarioStep { id name } } }
    pageInfo { hasNextPage endCursor }
  }
}
"""

LIST_QUERY = """\
query OvenbridgeSessions($first: Int!, $after: String) {
  scenarioSessions(first: $first, after: $after) {
    nodes { __typename id startedAt endedAt state }
    pageInfo { hasNextPage endCursor }
  }
}
"""
"""Unverified: no public contract names the list."""

PROBE_QUERY = """\
query OvenbridgeProbe {
  __typename
  session: __type(name: "ScenarioSession") { fields { name } }
  call: __type(name: "Call") { fields { name } }
}
"""
"""Harmless, and tells which fields there are."""
