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
local stalled = holds("Stalled")
if succeeded.status == "True" then
  hs.status = "Healthy"
elseif holds("Finished") ~= nil then
  hs.status = "Degraded"
elseif stalled ~= nil then
  hs.status = "Degraded"
  hs.message = said(stalled)
else
  hs.status = "Progressing"
end
return hs
