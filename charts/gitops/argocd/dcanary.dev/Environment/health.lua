-- An Environment is healthy while its stable release serves, whatever a rollout does: a release that was rolled back or is held is no reason
-- to change what Git says.
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
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  hs.status = "Progressing"
  hs.message = "Waiting for the operator to look at it"
  return hs
end

local stalled = holds("Stalled")
if stalled ~= nil then
  hs.status = "Degraded"
  hs.message = said(stalled)
  return hs
end

if holds("Ready") == nil then
  local ready = condition("Ready")
  hs.status = "Progressing"
  hs.message = ready ~= nil and said(ready) or "Waiting for its first release"
  return hs
end

local paused = holds("Paused")
if paused ~= nil then
  hs.status = "Suspended"
  hs.message = said(paused)
  return hs
end

hs.status = "Healthy"
local serving = "(adopted)"
if obj.status.stable ~= nil and obj.status.stable.release ~= nil and obj.status.stable.release ~= "" then
  serving = obj.status.stable.release
end
hs.message = "Serving " .. serving
local aside = holds("Progressing") or holds("RolledBack")
if aside ~= nil then hs.message = hs.message .. "; " .. said(aside) end
return hs
