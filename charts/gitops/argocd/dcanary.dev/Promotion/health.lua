-- A Promotion is one attempt. One that began and went back, and one that was kept out by a person or a newer one, has done what it had to: the
-- Environment tells what serves. Only one that can never be carried out as it stands in Git is degraded.
local kept_out = {
  Held = true, Rejected = true, Aborted = true, Superseded = true, ApprovalTimedOut = true, OlderThanStable = true, OlderThanRollout = true,
}

local function condition(type)
  if obj.status ~= nil and obj.status.conditions ~= nil then
    for _, found in ipairs(obj.status.conditions) do
      if found.type == type then return found end
    end
  end
  return nil
end

local function holds(type)
  local found = condition(type)
  if found ~= nil and found.status == "True" then return found end
  return nil
end

local function said(found)
  if found.message ~= nil and found.message ~= "" then return found.reason .. ": " .. found.message end
  return found.reason
end

local hs = {}
local succeeded = condition("Succeeded")
if obj.status == nil or succeeded == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  hs.status = "Progressing"
  hs.message = "Waiting for the operator to look at it"
  return hs
end

hs.message = said(succeeded)
if holds("Finished") ~= nil then
  local began = obj.status.startedAt ~= nil
  if succeeded.status == "True" or began or kept_out[succeeded.reason] then
    hs.status = "Healthy"
  else
    hs.status = "Degraded"
  end
  return hs
end

local waits = holds("Stalled") or holds("Paused")
if waits == nil then
  hs.status = "Progressing"
else
  hs.status = waits.type == "Stalled" and "Degraded" or "Suspended"
  hs.message = said(waits)
end
return hs
